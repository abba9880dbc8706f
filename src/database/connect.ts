import { type Circuit, createCircuit } from './circuit.ts'
import { timed } from './clock.ts'
import { type ConnectionOptions, openConnection } from './connection.ts'
import { createGuard, type Usage } from './guard.ts'
import { Name, Statement, type Value } from './statement.ts'

/** What every database function takes first. */
export type Sql = {
  /** A statement, sent when it is awaited, or a part of one. Values become parameters. */
  <Rows extends readonly object[] = Record<string, unknown>[]>(
    strings: TemplateStringsArray,
    ...values: Value[]
  ): Statement<Rows>
  /** A name to be quoted. */
  (name: string): Name
}

/** A pool of connections, as such and to be closed. */
export type Pool = Sql & {
  /** For whoever waits in front of it, too. */
  limits: Limits
  usage: () => Usage
  end: () => Promise<void>
}

/** How many may wait, and how long an answer may take. */
export type Limits = { queue: number; timeoutMs: number }

/** The pools of a server: for what is answered at once, for the pages of long lists, for lists that may take long. */
export type Pools = { sql: Pool; longSql: Pool; askedSql: Pool }

/** Is told of each statement that was sent: what it is called and how long its answer took. */
export type Observe = (name: string, durationMs: number) => void

export type ConnectOptions = {
  /** Connections at most. */
  max?: number
  /** Statements that may wait for one. */
  queue?: number
  /** For each statement, from when it is asked for to its answer; a bit less for Postgres itself. */
  timeoutMs?: number
  prepare?: boolean
  circuit?: Circuit
  observe?: Observe
}

/** A pool of connections; the first statement opens one. */
export function connect(
  url: string,
  { max = 10, queue = 1_000, timeoutMs = 10_000, prepare = true, circuit, observe }: ConnectOptions = {},
): Pool {
  const open = () => openConnection(url, connectionOptions({ timeoutMs, prepare }))
  const own = circuit ?? createCircuit({ probe: async () => (await open()).end() })
  const guard = createGuard({ size: max, queue, timeoutMs, open, circuit: own })

  async function send(statement: Statement) {
    if (!observe) return await guard.run((connection) => connection.ask(statement))
    return await guard.run(async (connection) => {
      const start = performance.now()
      try {
        return await connection.ask(statement)
      } finally {
        observe(statement.name, performance.now() - start)
      }
    })
  }

  async function end() {
    if (!circuit) own.end()
    await guard.end()
  }

  return Object.assign(
    sqlOf((statement) => timed(send(statement))),
    { limits: { queue, timeoutMs }, usage: guard.usage, end },
  )
}

/** Statements that are sent in this way. */
export function sqlOf(send: (statement: Statement) => Promise<readonly object[]>): Sql {
  const sql = (strings: TemplateStringsArray | string, ...values: Value[]) =>
    typeof strings === 'string' ? new Name(strings) : new Statement(strings, values, send)
  return sql as Sql
}

/** Of what a statement may take, how much its connection lets it. */
export function connectionOptions({ timeoutMs, prepare }: { timeoutMs: number; prepare: boolean }): ConnectionOptions {
  return {
    prepare,
    statementTimeoutMs: timeoutMs - Math.min(500, Math.floor(timeoutMs / 4)),
    lockTimeoutMs: Math.ceil(timeoutMs * 0.3),
    openTimeoutMs: Math.min(5_000, timeoutMs),
  }
}

/**
 * Has a statement sent without a name. For one that is put together, because a connection keeps what it has prepared until
 * it ends, and there is no end to what can be asked for; and because the best plan depends on the values.
 */
export function unprepared<Rows extends readonly object[]>(statement: Statement<Rows>): Statement<Rows> {
  statement.prepared = false
  return statement
}
