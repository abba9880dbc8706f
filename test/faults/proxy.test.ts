import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { expect, test } from 'vitest'
import { startProxy } from './proxy.ts'

// Answers each piece of data with the same, and ends when the other side does.
const target = createServer((socket) => socket.on('error', () => {}).pipe(socket)).listen(0, '127.0.0.1')
await once(target, 'listening')

async function open(port: number) {
  // After the test it is reset, and nobody asks then.
  const socket = connect(port, '127.0.0.1').on('error', () => {})
  await once(socket, 'connect')
  return socket
}

/** How long it took until the answer came, in milliseconds. */
async function ask(socket: Socket, text: string) {
  const start = performance.now()
  socket.write(text)
  const [answer] = await once(socket, 'data')
  expect(String(answer)).toBe(text)
  return performance.now() - start
}

const start = () => startProxy((target.address() as AddressInfo).port)

test('what is sent passes both ways, and so does the end', async () => {
  const proxy = await start()
  const socket = await open(proxy.port)
  await ask(socket, 'one')
  await ask(socket, 'two')
  expect(proxy.connections()).toBe(1)
  socket.end()
  await once(socket, 'end')
})

test('held, nothing passes, and all of it does when that is over', async () => {
  const proxy = await start()
  const socket = await open(proxy.port)
  await ask(socket, 'one')
  proxy.set('hold')
  const later = await open(proxy.port)
  const answered = Promise.all([ask(socket, 'two'), ask(later, 'three')])
  setTimeout(() => proxy.set('pass'), 200)
  for (const ms of await answered) expect(ms).toBeGreaterThan(150)
})

test('slowed, an answer takes the delay twice, or as long as its bytes do', async () => {
  const proxy = await start()
  const socket = await open(proxy.port)
  proxy.set({ delayMs: 100 })
  expect(await ask(socket, 'one')).toBeGreaterThan(195)
  proxy.set({ bytesPerSecond: 1_000 })
  expect(await ask(socket, 'x'.repeat(100))).toBeGreaterThan(195)
})

test.each([{ delayMs: 60_000 }, { bytesPerSecond: 0.01 }])(
  'slowed by %o, what is on its way arrives when that is over',
  async (slow) => {
    const proxy = await start()
    const socket = await open(proxy.port)
    await ask(socket, 'one')
    proxy.set(slow)
    const answered = ask(socket, 'two')
    setTimeout(() => proxy.set('pass'), 200)
    expect(await answered).toBeGreaterThan(150)
  },
)

test('cut, a connection ends; reset, it breaks', async () => {
  const proxy = await start()
  const [cut, reset] = [await open(proxy.port), await open(proxy.port)]
  await Promise.all([ask(cut, 'one'), ask(reset, 'two')])
  proxy.reset()
  const errors = await Promise.all([once(reset, 'error'), once(cut, 'error')])
  expect(errors.map(([error]) => error.code)).toEqual(['ECONNRESET', 'ECONNRESET'])
  const another = await open(proxy.port)
  await ask(another, 'three')
  proxy.cut()
  await once(another.resume(), 'end')
})

test('refused, nobody listens, and those who are connected stay', async () => {
  const proxy = await start()
  const socket = await open(proxy.port)
  await ask(socket, 'one')
  await proxy.refuse()
  await expect(open(proxy.port)).rejects.toThrow('ECONNREFUSED')
  await ask(socket, 'two')
  await proxy.accept()
  await ask(await open(proxy.port), 'three')
})
