import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'vitest'
import { startCluster } from './cluster.ts'
import { inFull, short } from './length.ts'
import { startProbe } from './probe.ts'
import { childrenOf } from './process_tree.ts'
import { report } from './report.ts'
import { startServer } from './server.ts'
import { asBefore } from './timing.ts'

const rows = inFull(10_000_000, 200_000)
const leaving = inFull(1_000, 200)
const readers = inFull(100, 20)
const readForMs = inFull(20_000, 5_000)
const wantedP99Ms = 100
const wantedMb = 32

// What is looked at is the server, so Postgres need not keep anything.
const cluster = await startCluster({ settings: ['fsync = off', 'synchronous_commit = off', 'max_wal_size = 2GB'] })
const server = await startServer({ DATABASE_URL: cluster.url })
await cluster.run(`
  drop index freezer_site_id_id_idx, freezer_name_search_idx, freezer_name_begin_idx, freezer_name_id_idx;
  insert into site (id, name) values (1, 'Site 1');
  set session_replication_role = replica;
  insert into freezer (id, name, site_id) select id, 'Freezer ' || id, 1 from generate_series(1, ${rows}) as id`)
await cluster.run('vacuum analyze freezer')

test(`${leaving} clients that leave at random in a streamed list`, async () => {
  const before = await usual(server.url)
  const probe = startProbe(`${server.url}/site/1`)
  let left = 0
  async function client() {
    while (left++ < leaving) await readSome(server.url, Math.random() ** 3 * 2_000_000, 1_000_000)
  }
  await Promise.all(Array.from({ length: 50 }, client))
  const { sent, failed, p99Ms } = await probe.stop()
  await sleep(1_000)
  const busy = await busySessions()

  await report(
    {
      fault: `${leaving} clients leaving at random in a streamed list, 50 at a time`,
      sent: leaving + sent,
      wrong: failed,
      wanted: `no busy session after 1 s; other requests' p99 under ${wantedP99Ms} ms`,
      seen: `${busy} busy sessions 1 s later; p99 of others ${p99Ms.toFixed()} ms (${before.toFixed()} ms before)`,
    },
    {
      'no busy session': busy === 0,
      'no other request failed': failed === 0,
      'p99 of others': p99Ms < allowed(before),
    },
  )
})

test(`${readers} clients that read a list at 200 kB/s each`, async () => {
  const before = await usual(server.url)
  const probe = startProbe(`${server.url}/site/1`)
  const end = performance.now() + readForMs
  const read = await Promise.all(
    Array.from({ length: readers }, () => readSlowly(server.url, 200_000, () => performance.now() < end)),
  )
  const { sent, failed, p99Ms } = await probe.stop()
  await sleep(1_000)
  const busy = await busySessions()

  const rate = Math.min(...read.map(({ bytes }) => bytes)) / readForMs
  await report(
    {
      fault: `${readers} clients reading a list at 200 kB/s for ${readForMs / 1000} s`,
      sent: readers + sent,
      wrong: failed,
      wanted: `no busy session after 1 s; other requests' p99 under ${wantedP99Ms} ms`,
      seen:
        `${busy} busy sessions 1 s later; p99 of others ${p99Ms.toFixed()} ms (${before.toFixed()} ms before); ` +
        `the slowest got ${rate.toFixed()} kB/s`,
    },
    {
      'no busy session': busy === 0,
      'no other request failed': failed === 0,
      'p99 of others': p99Ms < allowed(before),
    },
  )
})

test(`memory while one slow client takes ${rows} rows`, async () => {
  // One of its own, of which nobody else has asked anything; but not cold: V8 takes memory while it gets to know its work.
  const server = await startServer({ DATABASE_URL: cluster.url })
  const [worker = 0] = childrenOf(server.pid)
  const warm = performance.now() + inFull(20_000, 8_000)
  while (performance.now() < warm) await readSlowly(server.url, 20_000_000, () => performance.now() < warm)
  const before = await usual(server.url)
  const probe = startProbe(`${server.url}/site/1`)
  const bytesPerSecond = inFull(6_000_000, 1_500_000)
  const memoryMb: number[] = []
  const timer = setInterval(() => memoryMb.push(residentMb(worker)), 250)
  const { rows: read, clean } = await readSlowly(server.url, bytesPerSecond)
  clearInterval(timer)
  const { sent, failed, p99Ms } = await probe.stop()

  const [least, most] = [Math.min(...memoryMb), Math.max(...memoryMb)]
  await report(
    {
      fault: `one slow client takes ${rows} rows`,
      sent: 1 + sent,
      wrong: failed + (clean && read === rows ? 0 : 1),
      wanted: `memory ± ${wantedMb} MB; other requests' p99 under ${wantedP99Ms} ms`,
      seen:
        `${read} rows in ${(memoryMb.length / 4).toFixed()} s; memory ${least.toFixed()} to ${most.toFixed()} MB; ` +
        `p99 of others ${p99Ms.toFixed()} ms (${before.toFixed()} ms before)`,
    },
    {
      'all rows': clean && read === rows,
      [`memory ± ${wantedMb} MB`]: most - least <= 2 * wantedMb,
      'no other request failed': failed === 0,
      'p99 of others': p99Ms < allowed(before),
    },
  )
}, 600_000)

/** The short run may be on a machine that is too busy with other things for anything to reach the figure: as before, then. */
const allowed = (beforeMs: number) => (short ? Math.max(wantedP99Ms, asBefore(beforeMs)) : wantedP99Ms)

/** The p99 of an ordinary request while nothing else is asked. */
async function usual(url: string) {
  const probe = startProbe(`${url}/site/1`)
  await sleep(2_000)
  return (await probe.stop()).p99Ms
}

async function busySessions() {
  const busy = await cluster.run("select from pg_stat_activity where usename = 'inventory' and state <> 'idle'")
  return busy.length
}

const lists = ['/freezers', '/freezers?format=ndjson', '/freezers?format=csv&id__gt=0', '/freezers?sort=-id']

async function ask(url: string, path: string) {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname).on('error', () => {})
  await once(socket, 'connect')
  socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
  return socket
}

/** Reads a list at this rate, and leaves without a word when so many bytes have come. */
async function readSome(url: string, bytes: number, bytesPerSecond: number) {
  const socket = await ask(url, lists[Math.floor(Math.random() * lists.length)] as string)
  const wait = pace(bytesPerSecond)
  let read = 0
  for await (const chunk of socket) {
    read += chunk.length
    if (read > bytes) break
    await wait(read)
  }
}

/** Reads the list at this rate, to its end or while `goOn` says so. */
async function readSlowly(url: string, bytesPerSecond: number, goOn = () => true) {
  const socket = await ask(url, '/freezers')
  const wait = pace(bytesPerSecond)
  let bytes = 0
  let rows = 0
  let end = ''
  for await (const chunk of socket) {
    bytes += chunk.length
    // Neither the head, nor what HTTP puts between chunks, nor a name has any.
    for (let at = chunk.indexOf('{'); at >= 0; at = chunk.indexOf('{', at + 1)) rows++
    end = (end + chunk.subarray(-5).toString('latin1')).slice(-5)
    if (!goOn()) break
    await wait(bytes)
  }
  return { bytes, rows, clean: end === '0\r\n\r\n' }
}

/** Waits until so many bytes are due at this rate. */
function pace(bytesPerSecond: number) {
  const startMs = performance.now()
  return async (bytes: number) => {
    const aheadMs = (1000 * bytes) / bytesPerSecond - (performance.now() - startMs)
    if (aheadMs > 1) await sleep(aheadMs)
  }
}

/** Resident memory of a process, as proc(5) has it. */
function residentMb(pid: number) {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
}
