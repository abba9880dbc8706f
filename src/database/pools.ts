import { type Circuit, createCircuit } from './circuit.ts'
import { type ConnectOptions, connect, connectionOptions, type Pools, type Sql, sqlOf } from './connect.ts'
import { openConnection } from './connection.ts'
import { Unavailable } from './unavailable.ts'

export type Database = Pools & {
  circuit: Circuit
  /** Asks the database on a connection of its own; rejects if it can't be used, with the reason. Takes at most two seconds. */
  probe: () => Promise<void>
  end: () => Promise<void>
}

const probeTimeoutMs = 2_000

/**
 * The pools of a server, with one circuit for all. `check` is what a database has to answer to be one that can be used, and
 * `onChange` is told why it can't, and `undefined` when it can.
 */
export function connectPools(
  url: string,
  {
    pool,
    listPool,
    check,
    onChange,
    ...options
  }: Required<Pick<ConnectOptions, 'queue' | 'timeoutMs' | 'prepare'>> &
    Pick<ConnectOptions, 'observe'> & {
      pool: number
      listPool: number
      check: (sql: Sql) => Promise<unknown>
      onChange?: (reason: string | undefined) => void
    },
): Database {
  // Whoever asks while another does, shares it: otherwise many who ask would take all connections that Postgres has.
  let probing: Promise<void> | undefined
  function probe(): Promise<void> {
    probing ??= probeAlone().finally(() => {
      probing = undefined
    })
    return probing
  }

  async function probeAlone() {
    const timeoutMs = Math.min(probeTimeoutMs, options.timeoutMs)
    const end = performance.now() + timeoutMs
    const connection = await openConnection(url, connectionOptions({ ...options, timeoutMs })).catch((error) => {
      // It answers, and the connections that the pools have go on.
      if (error instanceof Unavailable && error.reason === 'full') return undefined
      throw error
    })
    if (!connection) return
    const timer = setTimeout(connection.drop, end - performance.now())
    try {
      await check(sqlOf(connection.ask))
    } finally {
      clearTimeout(timer)
      connection.end()
    }
  }

  const circuit = createCircuit({ probe, ...(onChange && { onChange }) })
  const pools = {
    sql: connect(url, { ...options, max: pool, circuit }),
    longSql: connect(url, { ...options, max: listPool, circuit }),
    askedSql: connect(url, { ...options, max: listPool, circuit }),
  }

  async function end() {
    circuit.end()
    await Promise.all(Object.values(pools).map((each) => each.end()))
  }

  return { ...pools, circuit, probe, end }
}
