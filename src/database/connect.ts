import postgres from 'postgres'

/** What every database function takes first: a pool of connections. */
export type Sql = postgres.Sql

/** The pools of a server: for what is answered at once, for the pages of long lists, for lists that may take long. */
export type Pools = { sql: Sql; longSql: Sql; askedSql: Sql }

/**
 * A pool of connections; the first query opens one. `statementTimeoutMs` is for Postgres to keep. What it works around
 * is known of postgres 3.4.9, and test/driver.test.ts has a test for each.
 *
 * The driver pairs answers with questions by counting. A parameter that throws while it is serialised, with other
 * queries in flight, makes it lose count, and from then on requests get each other's rows (porsager/postgres#1082). So
 * the serialisers here are total: what can't be sent is sent as a NUL, which Postgres refuses whatever the type. They are
 * idempotent too, because the driver serialises a parameter again when it repeats a statement whose plan has changed.
 */
export function connect(url: string, { max = 10, statementTimeoutMs = 10_000 } = {}): Sql {
  const sql = postgres(url, {
    ...oneQueryAtATime,
    max,
    connect_timeout: 5,
    // The driver's own waits up to 20 s before it tries again, and every query waits with it.
    backoff: () => 0.1,
    // Each new connection would ask for the types of arrays; those that are used are below.
    fetch_types: false,
    connection: {
      application_name: 'lab-inventory',
      statement_timeout: statementTimeoutMs,
      // A plan has to allow for pages of any length, and looks dear enough to be compiled, which takes longer than to run it.
      jit: 'off',
    },
    transform: { undefined: null },
    // Numbers are those in `select oid, typname from pg_type`.
    types: {
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
    },
    // The driver prints notices by default; they are for people at psql.
    onnotice: () => {},
  })
  return withoutHoles(sql)
}

// The option is not in the driver's types. By default a query is sent behind up to 100 others on a connection that is busy,
// waits there for a slow one while other connections are free, and if both have to be prepared again (a migration changed
// the type of a column) is never answered.
const oneQueryAtATime = { max_pipeline: 0 }

/**
 * Has a statement sent without a name. For one that is put together, because a connection keeps what it has prepared until
 * it ends, and there is no end to what can be asked for; and because the best plan depends on the values. `options` is not in
 * the driver's types; sql.unsafe() takes the same, but no fragments.
 */
export function unprepared<Query extends object>(query: Query): Query {
  return Object.assign(query, { options: { ...(query as { options?: object }).options, prepare: false } })
}

/**
 * When a statement fails after some of its rows have come, the driver leaves as many holes at the start of the next
 * answer on that connection (porsager/postgres#1119, #1181); without this, a row that is there would not be found.
 */
function withoutHoles(sql: Sql): Sql {
  return new Proxy(sql, {
    apply(target, self, values) {
      const query: { resolve?: (rows: postgres.RowList<postgres.Row[]>) => void } = Reflect.apply(target, self, values)
      const { resolve } = query
      if (resolve) {
        query.resolve = (rows) => {
          const first = rows.findIndex((row) => row !== undefined)
          if (first > 0) rows.splice(0, first)
          resolve(rows)
        }
      }
      return query
    },
  })
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
