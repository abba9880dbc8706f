import cluster, { type Worker } from 'node:cluster'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'

// The primary accepts connections, and hands each to a worker. node:cluster would do that too. But when the last worker stops
// listening, it closes connections that wait for one or are on the way to one (lib/internal/cluster/round_robin_handle.js of
// Node 26.10): at each SIGTERM under load, some requests were lost. Here nobody listens any more, first; then what was accepted
// goes to the workers; and only then do they hear that they are to stop. Who stops a server often tells all its processes at once
// (systemd does, and Ctrl-C), so what a worker hears from others is a wish to leave, which the primary may grant later.
// All that holds while the primary lives: node:cluster ends the workers, at once, when it is gone.

/** How long it goes on accepting when it is to end, if connections come faster than it can accept them. */
const closingMs = 200

/** How long what a worker has said before it ended may take to be read. */
const unheardMs = 100

type ToWorker = { type: 'listening'; address: string; port: number } | { type: 'connection' } | { type: 'stop' }
type ToPrimary = { type: 'ready' } | { type: 'taken' } | { type: 'leaving'; atOnce?: boolean }

export type Listener = {
  /** Where it listens, which it does from when a worker is ready. Rejects if it can't, with the error of net.Server. */
  listening: Promise<{ address: string; port: number }>
  /** Ends that; resolves when workers have all connections that there were. */
  close: () => Promise<void>
}

/**
 * Listens for all workers, in the primary. Each has one connection at a time on the way to it, so that one that is busy gets
 * fewer; if it ends without having taken that, another gets it. While there is no worker, connections wait. The last worker there
 * is that wants to leave goes on until there is another, or until nobody listens any more and all connections have been handed over.
 */
export function createListener(host: string, port: number): Listener {
  /** Those that take connections, the ones that want to leave among them; `free` are those of them that have none on the way. */
  const taking = new Set<Worker>()
  const free = new Set<Worker>()
  const leaving = new Set<Worker>()
  const told = new WeakSet<Worker>()
  const underWay = new Map<Worker, Socket>()
  const waiting: Socket[] = []
  const { promise: listening, resolve, reject } = Promise.withResolvers<{ address: string; port: number }>()
  const handedOver = Promise.withResolvers<void>()
  let accepted = 0
  let asked = false
  let closed = false
  let over = false

  // As a server of node:http accepts them.
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true }, (socket) => {
    // Whatever is wrong with it, the worker will notice.
    socket.on('error', () => {})
    accepted++
    waiting.push(socket)
    handOver()
  })
  // Later there may be others, such as EMFILE; then the next connection is accepted when it can be.
  server.on('error', reject)
  server.once('listening', () => {
    const { address, port } = server.address() as AddressInfo
    resolve({ address, port })
  })

  function handOver() {
    for (const worker of free) {
      const socket = waiting.shift()
      if (!socket) break
      free.delete(worker)
      underWay.set(worker, socket)
      // Kept open here until it is taken there.
      worker.send({ type: 'connection' } satisfies ToWorker, socket, { keepOpen: true }, () => {})
    }
    if (closed && waiting.length + underWay.size === 0) handedOver.resolve()
  }

  cluster.on('message', async (worker, message: ToPrimary) => {
    if (message?.type === 'ready') {
      if (!asked && !closed) server.listen(port, host)
      asked = true
      await listening.then((where) => tell(worker, { type: 'listening', ...where })).catch(() => {})
      offer(worker)
      letGo()
    }
    if (message?.type === 'taken') {
      // Ends what this process has of it; the worker's stays.
      underWay.get(worker)?.destroy()
      underWay.delete(worker)
      offer(worker)
    }
    if (message?.type === 'leaving') {
      leaving.add(worker)
      if (message.atOnce) stop(worker)
      else letGo()
    }
  })

  /** Has those stop that want to, as long as somebody is left for what is accepted. */
  function letGo() {
    for (const worker of leaving) {
      const others = taking.size - (taking.has(worker) ? 1 : 0)
      if (others > 0 || over) stop(worker)
    }
  }

  function stop(worker: Worker) {
    told.add(worker)
    forget(worker)
    // Behind the connection that may be on the way.
    tell(worker, { type: 'stop' })
  }

  function forget(worker: Worker) {
    for (const some of [taking, free, leaving]) some.delete(worker)
  }

  function offer(worker: Worker) {
    if (!told.has(worker) && worker.isConnected()) {
      taking.add(worker)
      free.add(worker)
    }
    handOver()
  }

  // Not at its exit: what it has said before that may not have been read then, that it has taken one above all.
  cluster.on('disconnect', (worker) => {
    forget(worker)
    const socket = underWay.get(worker)
    underWay.delete(worker)
    if (socket) waiting.unshift(socket)
    handOver()
  })
  // When a worker is killed, that may not come while a connection is on the way to it. Whether it had begun to read, nobody can
  // know; closed, its client at least learns that there will be no answer.
  cluster.on('exit', (worker) => {
    setTimeout(() => {
      forget(worker)
      underWay.get(worker)?.resetAndDestroy()
      underWay.delete(worker)
      handOver()
    }, unheardMs)
  })

  async function close() {
    // One connection is accepted in each turn of the event loop, however many the kernel has; it resets those that are left.
    const end = performance.now() + closingMs
    let before: number
    // The rest of this turn, in which it has been looked at already.
    await nextTurn()
    do {
      before = accepted
      await nextTurn()
    } while (accepted > before && performance.now() < end)
    closed = true
    server.close()
    handOver()
    await handedOver.promise
    over = true
    letGo()
  }

  return { listening, close }
}

function tell(worker: Worker, message: ToWorker) {
  if (worker.isConnected()) worker.send(message, () => {})
}

/**
 * Takes connections from the primary, in a worker, until that says to stop: `stopped` resolves then, and no more come. `leave` has it
 * do so, which it does when there are others; or, `atOnce`, whether there are or not. `listening` resolves to where the primary
 * listens.
 */
export function takeConnections(take: (socket: Socket) => void): {
  listening: Promise<{ address: string; port: number }>
  leave: (options?: { atOnce: boolean }) => void
  stopped: Promise<void>
} {
  const listening = Promise.withResolvers<{ address: string; port: number }>()
  const stopped = Promise.withResolvers<void>()
  // A primary that is gone needs no word: node:cluster is about to end this process.
  const say = (message: ToPrimary) => process.connected && process.send?.(message, undefined, undefined, () => {})
  process.on('message', (message: ToWorker, socket: Socket | undefined) => {
    if (message?.type === 'listening') listening.resolve(message)
    if (message?.type === 'stop') stopped.resolve()
    if (message?.type !== 'connection') return
    say({ type: 'taken' })
    // It is undefined if it was closed on the way.
    if (socket) take(socket)
  })
  say({ type: 'ready' })
  const leave = (options = { atOnce: false }) => void say({ type: 'leaving', ...options })
  return { listening: listening.promise, leave, stopped: stopped.promise }
}
