import { tmpdir } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'vitest'
import { type Cluster, startCluster } from './cluster.ts'
import { smallDisk } from './disk.ts'
import { check, isDone, type Row } from './history.ts'
import { inFull, short } from './length.ts'
import { startLoad } from './load.ts'
import { report } from './report.ts'
import { type Server, startServer } from './server.ts'
import { between, failedFor } from './timing.ts'

const rate = 100
const wanted = 'says so in one line, 503, recovers by itself, 0 lost'

/** How soon after the trouble is over nothing may fail any more; from the start, migrations are applied before. */
const [recoversWithinMs, startsWithinMs] = [2_000, 5_000]
const lookMs = inFull(3_000, 1_000)

type Trouble = {
  name: string
  /** How long it lasts. */
  lastsMs: number
  begin: (cluster: Cluster) => Promise<unknown>
  end: (cluster: Cluster) => Promise<unknown>
  /** What the log line says. */
  says: RegExp
  /** What goes on meanwhile. */
  reads?: 'go on'
  /** Postgres comes back for moments in between, and so may the line. */
  again?: true
}

const postgres = 'postgres'
const changePassword = (password: string) => (cluster: Cluster) =>
  cluster.run(`alter role inventory password '${password}'`, postgres)

async function terminate(cluster: Cluster) {
  await cluster.run("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'inventory'", postgres)
}

async function hideDatabase(cluster: Cluster) {
  await cluster.run('alter database lab_inventory allow_connections false', postgres)
  await terminate(cluster)
  await cluster.run('alter database lab_inventory rename to hidden', postgres)
}

async function showDatabase(cluster: Cluster) {
  await cluster.run('alter database hidden rename to lab_inventory', postgres)
  await cluster.run('alter database lab_inventory allow_connections true', postgres)
}

async function begin(cluster: Cluster, setting: string) {
  await cluster.run(`alter database lab_inventory ${setting}`, postgres)
  await terminate(cluster)
}

const absent: Trouble = {
  name: 'absent',
  lastsMs: inFull(5_000, 2_000),
  begin: (cluster) => cluster.stop('fast'),
  end: (cluster) => cluster.start(),
  says: /ECONNREFUSED/,
}
const wrongPassword: Trouble = {
  name: 'wrong password',
  lastsMs: inFull(5_000, 2_000),
  begin: async (cluster) => {
    await changePassword('another')(cluster)
    await terminate(cluster)
  },
  end: changePassword('mock_test_pass'),
  says: /password authentication failed/,
}
const missing: Trouble = {
  name: 'database missing',
  lastsMs: inFull(5_000, 2_000),
  begin: hideDatabase,
  end: showDatabase,
  says: /lab_inventory.* does not exist/,
}
const readOnly: Trouble = {
  name: 'read-only',
  lastsMs: inFull(10_000, 2_000),
  begin: (cluster) => begin(cluster, 'set default_transaction_read_only = on'),
  // Those who are connected stay as they are.
  end: (cluster) => cluster.run('alter database lab_inventory reset default_transaction_read_only', postgres),
  says: /read-only transaction/,
  reads: 'go on',
}

const [atStart, underLoad] = short
  ? [[absent], [wrongPassword, readOnly]]
  : [
      [absent, wrongPassword, missing],
      [absent, wrongPassword, missing, readOnly],
    ]

test.each(atStart)(
  '$name at start',
  async (trouble) => {
    const cluster = await startCluster()
    await trouble.begin(cluster)
    const server = await startServer({ DATABASE_URL: cluster.url }, { wait: false })
    await server.listening()
    await watch({ ...trouble, name: `${trouble.name} at start`, begin: async () => {} }, cluster, server, {
      fill: false,
      withinMs: startsWithinMs,
    })
  },
  120_000,
)

test.each(underLoad)(
  '$name under load',
  async (trouble) => {
    const cluster = await startCluster()
    const server = await startServer({ DATABASE_URL: cluster.url })
    await watch({ ...trouble, name: `${trouble.name} under load` }, cluster, server)
  },
  120_000,
)

const fullMs = inFull(300_000, 5_000)
const endedMs = 30_000

test('the disk is full, and Postgres goes on', async ({ skip }) => {
  const disk = smallDisk(128)
  if (typeof disk === 'string') return skipAloud(skip, disk)
  // A checkpoint would end Postgres: that is the next test.
  const settings = ['checkpoint_timeout = 1h']
  const cluster = await startCluster({ parent: disk.directory, walParent: tmpdir(), settings })
  const server = await startServer({ DATABASE_URL: cluster.url })
  const trouble = {
    name: `disk full for ${fullMs / 1_000} s`,
    lastsMs: fullMs,
    begin: async () => disk.fill(),
    end: async () => disk.free(),
    says: /No space left on device/,
    reads: 'go on',
  } as const
  await watch(trouble, cluster, server)
}, 420_000)

test.runIf(!short)(
  'the disk is full, and Postgres ends and is started again and again',
  async ({ skip }) => {
    const disk = smallDisk(128)
    if (typeof disk === 'string') return skipAloud(skip, disk)
    const cluster = await startCluster({ parent: disk.directory })
    const server = await startServer({ DATABASE_URL: cluster.url })
    const over = new AbortController()
    let supervisor: Promise<void> | undefined
    const trouble = {
      name: `disk full for ${endedMs / 1_000} s, the log of changes on it`,
      lastsMs: endedMs,
      begin: async () => {
        disk.fill()
        // It has files left for what it logs: now they are used up.
        for (let i = 0; i < 100 && cluster.isRunning(); i++)
          await cluster.run('select pg_switch_wal(), txid_current()').catch(() => {})
        supervisor = keepRunning(cluster, over.signal)
      },
      end: async () => {
        disk.free()
        over.abort()
        await supervisor
      },
      says: /waiting for the database.*ECONNREFUSED/,
      again: true,
    } as const
    await watch(trouble, cluster, server)
  },
  420_000,
)

/** As the restart policy of a container does, until it is told that it is over; then it has Postgres running. */
async function keepRunning(cluster: Cluster, over: AbortSignal) {
  for (;;) {
    const last = over.aborted
    if (!cluster.isRunning()) await cluster.start().catch(() => {})
    if (last && cluster.isRunning()) return
    await sleep(200)
  }
}

function skipAloud(skip: (note: string) => void, reason: string) {
  console.info(`Skipped, because ${reason}: a full disk.`)
  skip(reason)
}

/** Puts the server under load, gets it into trouble and out of it, and reports. */
async function watch(
  { name, lastsMs, begin, end, says, reads, again }: Trouble,
  cluster: Cluster,
  server: Server,
  { fill = true, withinMs = recoversWithinMs } = {},
) {
  const load = await startLoad({ url: server.url, perSecond: rate, fill })
  if (fill) await sleep(1_000)
  await begin(cluster)
  const began = performance.now()
  await sleep(lastsMs)
  const ending = performance.now()
  await end(cluster)
  const ended = performance.now()
  // As soon as a write succeeds, or when that takes too long.
  const isBack = () => load.exchanges.some((each) => isWrite(each.kind) && each.startMs > ended && isDone(each))
  while (!isBack() && performance.now() < ended + withinMs) await sleep(50)
  await sleep(lookMs)
  const exchanges = await load.stop()

  const meanwhile = between(exchanges, began + 500, ending).filter(({ endMs = 0 }) => endMs < ending)
  const succeeded = meanwhile.filter(({ status }) => status !== 503)
  const said = server.log().filter((line) => says.test(JSON.stringify(line)))
  const waiting = said.filter(({ msg = '' }) => /^waiting for the database/.test(msg))
  const recoveredMs = failedFor(exchanges, ended)
  const { lost, wrong, ...counts } = check(exchanges, (await cluster.run('select id, name from site')) as Row[])
  for (const line of [...lost, ...wrong].slice(0, 20)) console.info(line)
  await report(
    {
      fault: name,
      ...counts,
      lost: lost.length,
      wrong: wrong.length,
      recoveredMs,
      wanted,
      seen: `${counts.refused} refused with 503; ${waiting.length} lines of waiting, ${said.length - waiting.length} more lines say why`,
    },
    {
      'nothing lost': lost.length === 0,
      'nothing wrong': wrong.length === 0,
      'all are refused': reads === 'go on' || (meanwhile.length > 0 && succeeded.length === 0),
      'reads go on': reads !== 'go on' || meanwhile.every(({ kind, status }) => isWrite(kind) || status === 200),
      'writes are refused': meanwhile.some(({ kind, status }) => isWrite(kind) && status === 503),
      'it says why': said.length > 0,
      'in one line': again || waiting.length <= 1,
      'recovers by itself': recoveredMs <= withinMs,
    },
  )
}

const isWrite = (kind: string) => kind === 'upsert' || kind === 'create'
