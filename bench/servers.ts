import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { get } from 'node:http'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'

/** What is measured: one worker process each, on the same Node, with a pool of 10 connections, and none of them logs. */
export const entries = {
  ours: { title: 'this server', entry: '../src/main.ts', path: '/site/1' },
  fastify: { title: 'fastify + pg', entry: 'contestants/fastify.ts', path: '/site/1' },
  express: { title: 'express + kysely', entry: 'contestants/express.ts', path: '/site/1' },
  constant: { title: 'this server, constant answer', entry: 'contestants/constant.ts', path: '/constant' },
  unbatched: { title: 'this server, a query each', entry: 'contestants/constant.ts', path: '/unbatched/1' },
  small: { title: 'this server, small tables', entry: '../src/main.ts', path: '/site/1' },
}

export type Name = keyof typeof entries

export type Server = { name: Name; url: string; pid: number; startSeconds: number; stop: () => Promise<void> }

/** Starts one; resolves at its first answer. */
export async function startServer(name: Name, databaseUrl: string): Promise<Server> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const { entry, path } = entries[name]
  const { PATH, HOME } = process.env
  const start = performance.now()
  const child = spawn(process.execPath, [fileURLToPath(new URL(entry, import.meta.url))], {
    env: {
      PATH,
      HOME,
      NODE_ENV: 'production',
      DATABASE_URL: databaseUrl,
      HOST: '127.0.0.1',
      PORT: String(port),
      WEB_CONCURRENCY: '1',
      LOG_LEVEL: 'warn',
    },
    // The channel is for the server to notice that this process is gone.
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const ended = once(child, 'exit')
  try {
    while (!(await answers(url + path))) {
      if (isOver(child)) throw new Error(`${entry} ended before it answered.`)
      if (performance.now() - start > 30_000) throw new Error(`${entry} does not answer.`)
    }
  } catch (error) {
    child.kill('SIGKILL')
    throw error
  }
  return {
    name,
    url,
    pid: child.pid ?? 0,
    startSeconds: (performance.now() - start) / 1000,
    async stop() {
      if (!isOver(child)) child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), 10_000)
      await ended
      clearTimeout(timer)
    },
  }
}

const isOver = (child: ChildProcess) => child.exitCode !== null || child.signalCode !== null

function answers(url: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  get(url, { agent: false }, (response) => {
    response.resume().once('end', () => resolve(response.statusCode === 200))
  }).once('error', () => setTimeout(resolve, 2, false))
  return promise
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}
