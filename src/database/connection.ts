import { once } from 'node:events'
import { createConnection, type Socket } from 'node:net'
import postgres from 'postgres'
import { hostsOf } from './hosts.ts'
import { Name, Statement } from './statement.ts'
import { encrypted, tlsOf } from './tls.ts'
import { Unavailable } from './unavailable.ts'

/** One connection to Postgres, for one statement at a time. */
export type Connection = {
  /** Sends a statement; rejects with a PostgresError, and with Unavailable if the connection is lost. */
  ask: (statement: Statement) => Promise<readonly object[]>
  /** Whether it can't be used any more. */
  isLost: () => boolean
  /** Drops it at once, together with what it is asked. */
  drop: () => void
  /** Says goodbye to Postgres first. */
  end: () => Promise<void>
}

export type ConnectionOptions = {
  /** In milliseconds, for Postgres to keep. */
  statementTimeoutMs: number
  lockTimeoutMs: number
  /** How long it may take until the connection can be used. */
  openTimeoutMs: number
  /** Whether statements keep a plan on the connection. Without, nothing is asked that PgBouncer's transaction mode can't do. */
  prepare: boolean
}

/**
 * Opens a connection to the database: if the URL names several hosts, to the one that is no standby. Rejects with Unavailable,
 * whose cause tells why.
 */
export async function openConnection(url: string, options: ConnectionOptions): Promise<Connection> {
  const hosts = hostsOf(url)
  const opened = hosts.map((host) => openHost(host, hosts.length > 1, options))
  try {
    const first = await Promise.any(opened)
    for (const other of opened) other.then((each) => (each === first ? undefined : each.end())).catch(() => {})
    return first
  } catch (error) {
    const { errors } = error as AggregateError
    // too_many_connections
    const isFull = errors.some(({ code }) => code === '53300')
    throw new Unavailable(isFull ? 'full' : 'unreachable', { cause: errors.length > 1 ? error : errors[0] })
  }
}

/**
 * A pool of the driver with one connection, which is never used again after it was lost: what the driver does then is wrong in
 * several ways (a query in flight is answered twice; a reconnect that Postgres refuses never ends). What else it works around is
 * known of postgres 3.4.9, and test/driver.test.ts has a test for each.
 *
 * The driver pairs answers with questions by counting. A parameter that throws while it is serialised, with other
 * queries in flight, makes it lose count, and from then on requests get each other's rows (porsager/postgres#1082). So
 * the serialisers here are total: what can't be sent is sent as a NUL, which Postgres refuses whatever the type. They are
 * idempotent too, because the driver serialises a parameter again when it repeats a statement whose plan has changed.
 */
async function openHost(host: string, mustBePrimary: boolean, options: ConnectionOptions): Promise<Connection> {
  let socket: Socket | undefined
  let lost = false
  const tls = tlsOf(host)

  const sql = postgres(tls.url, {
    ...untyped(async ({ host: [host], port: [port], path }) => {
      // The driver tries again, at once and for ever, while the other side accepts connections and closes them.
      if (socket || lost) throw new Error('the connection was closed before it could be used')
      socket = path ? createConnection(path) : createConnection(port ?? 5432, host)
      noticeLoss(socket)
      await once(socket, 'connect')
      socket = await encrypted(socket, tls)
      noticeLoss(socket)
      return socket
    }),
    max: 1,
    ssl: false,
    onclose: () => {
      lost = true
    },
    prepare: options.prepare,
    // Each new connection would ask for the types of arrays; those that are used are below.
    fetch_types: false,
    connection: {
      application_name: 'lab-inventory',
      ...(options.prepare && {
        statement_timeout: options.statementTimeoutMs,
        // A row that somebody keeps locked is not to hold every connection for as long as that.
        lock_timeout: options.lockTimeoutMs,
        // A plan has to allow for pages of any length, and looks dear enough to be compiled, which takes longer than to run it.
        jit: 'off',
      }),
    },
    transform: { undefined: null },
    types,
    // The driver prints notices by default; they are for people at psql.
    onnotice: () => {},
  })

  // Of what it is asked between a socket's error and its end, the driver would say nothing.
  function noticeLoss(socket: Socket) {
    socket.on('error', () => {
      lost = true
    })
    socket.on('close', () => {
      lost = true
    })
  }

  function drop() {
    lost = true
    socket?.destroy()
    sql.end({ timeout: 0 }).catch(() => {})
  }

  async function ask(statement: Statement) {
    try {
      return withoutHoles(await toQuery(sql, statement))
    } catch (error) {
      if (error instanceof postgres.PostgresError && !isLast(error)) throw error
      drop()
      throw isReadOnly(error) ? error : new Unavailable('lost', { cause: error })
    }
  }

  async function end() {
    lost = true
    await sql.end({ timeout: 1 }).catch(() => {})
    socket?.destroy()
  }

  // Until here nothing is connected: it is by the first query.
  const timer = setTimeout(drop, options.openTimeoutMs)
  try {
    const [row] = await sql<{ standby: boolean }[]>`
      -- isStandby
      select pg_is_in_recovery() as standby`
    if (mustBePrimary && row?.standby) throw new Error('this host is a standby')
    return { ask, isLost: () => lost, drop, end }
  } catch (error) {
    drop()
    throw error
  } finally {
    clearTimeout(timer)
  }
}

/**
 * Options that are not in the driver's types. Its own socket can't be closed while the other side is silent. By default a query is
 * sent behind up to 100 others on a connection that is busy, and if two of them have to be prepared again (a migration changed
 * the type of a column) neither is answered. max_lifetime would end connections that nothing is wrong with, and connect_timeout
 * does not cover a socket of our own.
 */
function untyped(socket: (to: { host: string[]; port: number[]; path?: string }) => Promise<Socket>): object {
  return { socket, max_pipeline: 0, max_lifetime: null, connect_timeout: null }
}

// Numbers are those in `select oid, typname from pg_type`.
const types = {
  number: { to: 0, from: [21, 23, 700, 701], serialize: total(text), parse: Number },
  // int8, text, macaddr, varchar, date, time, timestamp, timestamptz, timetz, numeric, uuid: text in both directions,
  // so that nothing is rounded or rewritten on the way.
  text: {
    to: 25,
    from: [20, 25, 829, 1043, 1082, 1083, 1114, 1184, 1266, 1700, 2950],
    serialize: total(text),
    parse: (value: string) => value,
  },
  // int4[]
  integers: { to: 1007, from: [1007], serialize: total(integers), parse: (value: string) => value },
  // text[]
  texts: { to: 1009, from: [1009], serialize: total(texts), parse: (value: string) => value },
  boolean: { to: 16, from: [16], serialize: total(boolean), parse: (value: string) => value === 't' },
  json: { to: 114, from: [114, 3802], serialize: total(json), parse: (value: string) => JSON.parse(value) },
}

/** A statement in the driver's terms, with the parts that it is made of. */
function toQuery(sql: postgres.Sql, { strings, values, prepared }: Statement) {
  const query = sql(strings, ...(values.map((value) => toParameter(sql, value)) as never[]))
  // The option is not in the driver's types; sql.unsafe() takes the same, but no parts.
  return prepared ? query : Object.assign(query, { options: { prepare: false } })
}

function toParameter(sql: postgres.Sql, value: unknown): unknown {
  if (value instanceof Statement) return toQuery(sql, value)
  if (value instanceof Name) return sql(value.name)
  return Array.isArray(value) && value[0] instanceof Statement ? value.map((part) => toQuery(sql, part)) : value
}

/**
 * When a statement fails after some of its rows have come, the driver leaves as many holes at the start of the next
 * answer on that connection (porsager/postgres#1119, #1181); without this, a row that is there would not be found.
 */
function withoutHoles(rows: postgres.RowList<postgres.Row[]>) {
  const first = rows.findIndex((row) => row !== undefined)
  if (first > 0) rows.splice(0, first)
  return rows
}

// After these Postgres closes the connection; or another one may lead to where writes are taken.
function isLast(error: postgres.PostgresError) {
  return error.severity === 'FATAL' || error.severity === 'PANIC' || isReadOnly(error)
}

function isReadOnly(error: unknown) {
  return error instanceof postgres.PostgresError && error.code === '25006'
}

const unsendable = '\0'

function total(serialize: (value: unknown) => unknown) {
  return (value: unknown): string => {
    try {
      const text = serialize(value)
      return typeof text === 'string' ? text : unsendable
    } catch {
      return unsendable
    }
  }
}

// String() makes a text of anything: "[object Object]", the source of a function, "1,2".
function text(value: unknown) {
  if (value instanceof Date) return value.toISOString()
  return ['string', 'number', 'bigint', 'boolean'].includes(typeof value) ? String(value) : unsendable
}

function integers(value: unknown) {
  return Array.isArray(value) && value.every(Number.isInteger) ? `{${value.join(',')}}` : text(value)
}

function texts(value: unknown) {
  if (!Array.isArray(value) || !value.every((element) => typeof element === 'string')) return text(value)
  return `{${value.map((element) => `"${element.replaceAll(/["\\]/g, '\\$&')}"`).join(',')}}`
}

// What is neither true nor false is for Postgres to judge; the driver's own would call it false.
function boolean(value: unknown) {
  return value === true ? 't' : value === false ? 'f' : text(value)
}

function json(value: unknown) {
  return typeof value === 'string' ? value : JSON.stringify(value)
}
