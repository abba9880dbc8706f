import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import '../../src/node_version.js'

// Many clients of one kind, in a process of its own, so that what they cost is not counted to those that measure:
//   node test/faults/crowd.ts URL KIND=COUNT …
// On SIGUSR2 they begin. It prints a line of JSON when all have connected, and one when all connections are closed, or it is told to
// stop.

/** What a client sends first, and then every second. */
const kinds: Record<string, (n: number) => [first: string, more?: string]> = {
  // Has had an answer, and keeps the connection.
  idle: () => ['GET /summary HTTP/1.1\r\nHost: h\r\n\r\n'],
  silent: () => [''],
  'slow header': () => ['GET /sites HTTP/1.1\r\nHost: h\r\nX-A: ', 'a'],
  'slow body': (n) => [`${post(n)}Content-Length: 1000\r\n\r\n{"name": "`, 'a'],
  'slow chunks': (n) => [`${post(n)}Transfer-Encoding: chunked\r\n\r\na\r\n{"name": "\r\n`, '1\r\na\r\n'],
  'half a header': () => ['GET /sites HTTP/1.1\r\nHos'],
  'half a body': (n) => [`${post(n)}Content-Length: 20\r\n\r\n{"name"`],
  garbage: (n) => [
    n % 3 === 0 ? `${valid}${noise(n)}` : n % 3 === 1 ? noise(n) : `${valid.repeat(3)}GET\r\n${noise(n)}`,
  ],
}

const post = (n: number) => `POST /site/${1_000_000 + n} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n`
const valid = 'GET /site/1 HTTP/1.1\r\nHost: h\r\n\r\n'
const noise = (n: number) =>
  Array.from({ length: 2_000 }, (_, i) => String.fromCharCode((i * i * 31 + n * 7) % 256)).join('')

/** How many connect at once, and in a second; idle ones are so many that it would take too long. */
const atOnce = 20
const perSecond = (kind: string) => (kind === 'idle' ? 5_000 : 250)

const [, , url = '', ...crowds] = process.argv
const { hostname, port } = new URL(url)
const clients = crowds.flatMap((crowd) => {
  const [kind = '', count] = crowd.split('=')
  return Array.from({ length: Number(count) }, (_, n) => ({ kind, n }))
})

const open = new Set<Socket>()
const lastedMs: number[] = []
const answers: Record<string, number> = {}
let connected = 0

/** Resolves when it has connected; that of an idle one when it has had its answer. */
async function start({ kind, n }: { kind: string; n: number }) {
  // Of the addresses of this machine each has ports for some 28,000 connections.
  const socket = connect({
    host: hostname,
    port: Number(port),
    localAddress: `127.0.0.${2 + (n % 5)}`,
    allowHalfOpen: true,
  })
  const startMs = performance.now()
  const [first = '', more] = kinds[kind]?.(n) ?? []
  open.add(socket)
  let isFirst = true
  socket.on('data', (bytes) => {
    // Of many answers to requests in one pipeline, the first.
    if (isFirst) count1(/^HTTP\/1\.1 (\d+)/.exec(bytes.toString('latin1'))?.[1] ?? 'no HTTP')
    isFirst = false
  })
  socket.on('error', () => {})
  // This client keeps its end open, and so it is the server that closes the connection.
  const close = () => {
    if (open.delete(socket)) lastedMs.push(performance.now() - startMs)
    socket.destroy()
  }
  socket.once('close', close).once('end', close)
  await once(socket, 'connect').catch(() => {})
  connected++
  if (first) socket.write(Buffer.from(first, 'latin1'))
  // Each at its own moment, as clients that know nothing of each other.
  if (more) {
    const timer = setInterval(() => socket.write(more), 1_000)
    socket.once('close', () => clearInterval(timer)).once('end', () => clearInterval(timer))
  }
  if (kind === 'idle') await once(socket, 'data').catch(() => {})
}

function count1(answer: string) {
  answers[answer] = (answers[answer] ?? 0) + 1
}

const begin = new Promise((resolve) => process.once('SIGUSR2', resolve))
// Without anything to do, a process would end.
const timer = setInterval(() => {}, 1_000)
console.info('ready')
await begin
clearInterval(timer)
for (let n = 0; n < clients.length; n += atOnce) {
  const batch = clients.slice(n, n + atOnce)
  await Promise.all([...batch.map(start), sleep((1_000 * atOnce) / perSecond(batch[0]?.kind ?? ''))])
  // Whoever waits is to see that it goes on.
  console.info(JSON.stringify({ soFar: n + atOnce }))
}
console.info(JSON.stringify({ connected, open: open.size }))

let told = false
process.once('SIGTERM', () => {
  told = true
})
while (open.size > 0 && !told) await sleep(100)
console.info(JSON.stringify({ closed: lastedMs.length, open: open.size, longestMs: Math.max(0, ...lastedMs), answers }))
process.exit()
