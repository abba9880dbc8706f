import { availableParallelism } from 'node:os'
import * as v from 'valibot'
import { hostsOf } from './database/hosts.ts'

/** Every setting: an environment variable, what it is for, and what it is if it isn't set (without a default: needed). */
const settings = {
  DATABASE_URL: {
    help: 'Postgres to use: postgresql://user:password@host:port/database; of several hosts (host1:5432,host2:5432) the one that is no standby.',
    default: undefined,
    schema: v.pipe(
      v.string(),
      v.regex(/^postgres(ql)?:\/\/[^/]+\/[^/?]+/, 'must be like postgresql://user:password@host:5432/database'),
      v.check(isUrl, 'must be a URL; in a user or password, % is written as %25, / as %2F and @ as %40'),
    ),
  },
  HOST: {
    help: 'Address to listen on; 0.0.0.0 for all.',
    default: '127.0.0.1',
    schema: v.pipe(v.string(), v.nonEmpty('must be an address or a host name')),
  },
  PORT: {
    help: 'Port to listen on; 0 for any that is free.',
    default: '5000',
    schema: number(0, 65535),
  },
  WEB_CONCURRENCY: {
    help: 'Worker processes that answer requests, or "auto" for one each processor core; one that dies is replaced.',
    default: '1',
    schema: numberOrAuto(1, 256),
  },
  DATABASE_POOL: {
    help: 'Connections for short queries that each worker opens at most, besides up to 4 for lists and 1 to see how the database is; or "auto" for up to 10, with those for lists up to 80 in all, if there are 26 workers or fewer.',
    default: 'auto',
    schema: numberOrAuto(1, 1_000),
  },
  DATABASE_PREPARE: {
    help: '"off" does without all that PgBouncer in transaction mode can not do: prepared statements, and settings of sessions.',
    default: 'on',
    schema: v.picklist(['on', 'off'], 'must be on or off'),
  },
  QUERY_TIMEOUT: {
    help: 'Milliseconds until a query that has no answer is given up; Postgres itself gives up half a second earlier, and on locks after a third of it.',
    default: '10000',
    schema: number(100, 600_000),
  },
  QUERY_QUEUE: {
    help: 'Queries that may wait for a connection in each worker; what comes beyond is answered with 503 at once.',
    default: '1000',
    schema: number(0, 100_000),
  },
  REQUEST_TIMEOUT: {
    help: 'Milliseconds that a request may take to arrive; then it is answered with 408. The default lets 1 MiB come at 700 kbit/s.',
    default: '12000',
    schema: number(1_000, 600_000),
  },
  KEEP_ALIVE_TIMEOUT: {
    help: 'Milliseconds that a connection is kept on which nothing is asked; more than a proxy in front keeps it.',
    default: '65000',
    schema: number(1_000, 3_600_000),
  },
  MAX_CONNECTIONS: {
    help: 'Connections of clients that each worker keeps; one more takes the place of the one on which nothing was asked for longest.',
    default: '4000',
    schema: number(1, 1_000_000),
  },
  MIGRATE: {
    help: '"on" applies pending migrations at start, "off" leaves the database as it is.',
    default: 'on',
    schema: v.picklist(['on', 'off'], 'must be on or off'),
  },
  LOG_LEVEL: {
    help: 'Least severe log lines to print: trace, debug, info, warn, error, fatal or silent.',
    default: 'info',
    schema: v.picklist(
      ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
      'must be trace, debug, info, warn, error, fatal or silent',
    ),
  },
  LOG_SLOW_MS: {
    help: 'Milliseconds from which on the log has a statement as slow, by its name.',
    default: '1000',
    schema: number(1, 3_600_000),
  },
  SERVER_TIMING: {
    help: '"on" has each answer tell, in the header Server-Timing, how long it took and how long it waited for the database.',
    default: 'off',
    schema: v.picklist(['on', 'off'], 'must be on or off'),
  },
} as const

export type Config = Readonly<{
  databaseUrl: string
  host: string
  port: number
  workers: number
  /** Connections of a worker for what is answered at once. */
  pool: number
  /** For the pages of long lists; and as many for lists of which a request asks more than to be there. */
  listPool: number
  prepare: boolean
  queryTimeoutMs: number
  queryQueue: number
  requestTimeoutMs: number
  keepAliveTimeoutMs: number
  maxConnections: number
  migrate: boolean
  logLevel: string
  logSlowMs: number
  serverTiming: boolean
}>

/** The settings in an environment, or what is wrong with each variable that can't be used. An empty variable is none. */
export function readConfig(env: Record<string, string | undefined>): { config: Config } | { errors: string[] } {
  const errors: string[] = []
  const value = <Name extends keyof typeof settings>(name: Name) => {
    const setting = settings[name]
    const text = env[name] || setting.default
    if (text === undefined) {
      errors.push(`${name} is not set. ${setting.help}`)
      return undefined as never
    }
    const result = v.safeParse(setting.schema, text)
    // The value itself is not repeated: it may hold a password, and this is logged.
    if (!result.success) errors.push(`${name} ${result.issues[0].message}. ${setting.help}`)
    return result.output as v.InferOutput<(typeof settings)[Name]['schema']>
  }
  // In the order of the settings, so that what is wrong is told in that order.
  const databaseUrl = value('DATABASE_URL')
  const host = value('HOST')
  const port = value('PORT')
  const concurrency = value('WEB_CONCURRENCY')
  const workers = concurrency === 'auto' ? availableParallelism() : concurrency
  const connections = value('DATABASE_POOL')
  // Postgres takes 100 connections if nobody has told it otherwise; some are left to admins and to other programs.
  const each = Math.floor(80 / workers)
  const listPool = each < 8 ? 1 : 2
  const pool = connections === 'auto' ? Math.min(10, Math.max(1, each - 2 * listPool)) : connections
  const prepare = value('DATABASE_PREPARE') === 'on'
  const queryTimeoutMs = value('QUERY_TIMEOUT')
  const queryQueue = value('QUERY_QUEUE')
  const requestTimeoutMs = value('REQUEST_TIMEOUT')
  const keepAliveTimeoutMs = value('KEEP_ALIVE_TIMEOUT')
  const maxConnections = value('MAX_CONNECTIONS')
  const migrate = value('MIGRATE') === 'on'
  const logLevel = value('LOG_LEVEL')
  const logSlowMs = value('LOG_SLOW_MS')
  const serverTiming = value('SERVER_TIMING') === 'on'
  const config = Object.freeze({
    databaseUrl,
    host,
    port,
    workers,
    pool,
    listPool,
    prepare,
    queryTimeoutMs,
    queryQueue,
    requestTimeoutMs,
    keepAliveTimeoutMs,
    maxConnections,
    migrate,
    logLevel,
    logSlowMs,
    serverTiming,
  })
  return errors.length > 0 ? { errors } : { config }
}

/**
 * What to say if all workers together may open more connections than Postgres takes when nobody has told it otherwise: 100, 3 of
 * which it keeps for superusers. Undefined if they fit, if `DATABASE_POOL` is a number, or if PgBouncer is in between.
 */
export function warnOfConnections(config: Config, databasePool: string | undefined): string | undefined {
  const { workers, pool, listPool, prepare } = config
  if ((databasePool || 'auto') !== 'auto' || !prepare) return undefined
  const most = workers * (pool + 2 * listPool + 1)
  if (most <= 97) return undefined
  return `${workers} workers may open ${most} connections to Postgres, which takes 97 of them unless told otherwise: set WEB_CONCURRENCY to less, or raise its max_connections and set DATABASE_POOL`
}

/** One line for each setting, for `--help`. */
export function describeSettings(): string {
  return Object.entries(settings)
    .map(([name, { help, default: value }]) => `${name.padEnd(16)} ${help} ${value ? `Default: ${value}.` : 'Needed.'}`)
    .join('\n')
}

// What the drivers need to be true: they throw otherwise, late and with a stack.
function isUrl(text: string) {
  try {
    return hostsOf(text).every((host) => {
      const { username, password } = new URL(host)
      return decodeURIComponent(username + password) !== undefined
    })
  } catch {
    return false
  }
}

function numberOrAuto(min: number, max: number) {
  return v.union([v.literal('auto'), number(min, max)], `must be a whole number from ${min} to ${max}, or auto`)
}

function number(min: number, max: number) {
  const message = `must be a whole number from ${min} to ${max}`
  return v.pipe(
    v.string(),
    v.regex(/^\d+$/, message),
    v.transform(Number),
    v.minValue(min, message),
    v.maxValue(max, message),
  )
}
