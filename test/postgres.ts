import { rm } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import type { TestProject } from 'vitest/node'
import '../src/node_version.js'
import { migrate } from '../src/migrate.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** A Postgres whose user may create databases. */
    serverUrl: string
    /** A migrated, empty database in it, to make copies of. */
    template: string
  }
}

type Server = { url: string; stop: () => Promise<unknown> }

/** Runs once, before all test files: finds or starts a Postgres, and migrates the database that each file gets a copy of. */
export default async function setUp(project: TestProject) {
  const server = await startServer()
  const template = `lab_inventory_template_${process.pid}`
  await run(server.url, `create database ${template}`)
  await migrate(withDatabase(server.url, template))
  project.provide('serverUrl', server.url)
  project.provide('template', template)
  const [row] = await run(server.url, 'show server_version')
  console.info(`Testing on Postgres ${row?.server_version}.`)

  return async function tearDown() {
    await run(server.url, `drop database if exists ${template} with (force)`)
    await server.stop()
  }
}

async function startServer(): Promise<Server> {
  const { TEST_DATABASE_URL, TEST_DATABASE } = process.env
  if (TEST_DATABASE_URL) return { url: TEST_DATABASE_URL, stop: async () => {} }
  if (TEST_DATABASE === 'testcontainers') {
    const container = await startContainer()
    if (container) return container
    console.info('No Docker engine answers, so the tests run on the embedded Postgres.')
  }
  return await startOwn()
}

async function startContainer(): Promise<Server | undefined> {
  const { GenericContainer, getContainerRuntimeClient, Wait } = await import('testcontainers')
  try {
    await getContainerRuntimeClient()
  } catch {
    return undefined
  }
  const container = await new GenericContainer('postgres:18-alpine')
    .withEnvironment({ POSTGRES_PASSWORD: 'test' })
    .withCommand(['postgres', ...fast])
    .withTmpFs({ '/var/lib/postgresql': 'rw' })
    .withExposedPorts(5432)
    // Once while it sets itself up, and once for good.
    .withWaitStrategy(Wait.forLogMessage('database system is ready to accept connections', 2))
    .start()
  const url = `postgresql://postgres:test@${container.getHost()}:${container.getMappedPort(5432)}/postgres`
  return { url, stop: () => container.stop() }
}

async function startOwn(): Promise<Server> {
  const { ownerOf, startEmbedded, stopOrphan } = await import('../src/embedded.ts')
  // A folder that stays the same, so that a Postgres left over by a run that was killed is found and stopped; but each run
  // that goes on at the same time has one of its own.
  const directory = (run: number) => fileURLToPath(new URL(`../.data/test-postgres-${run}`, import.meta.url))
  let run = 1
  while (await ownerOf(directory(run))) run++
  await stopOrphan(directory(run))
  const empty = () => rm(directory(run), { recursive: true, force: true })
  await empty()
  const { url, stop } = await startEmbedded(directory(run), { flags: fast })
  return { url, stop: () => stop().then(empty) }
}

// What these give up is safety when the machine fails, and the data is thrown away anyhow.
const fast = ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off', 'max_connections=200'].flatMap(
  (setting) => ['-c', setting],
)

export function withDatabase(url: string, database: string): string {
  const changed = new URL(url)
  changed.pathname = `/${database}`
  return changed.href
}

/** Runs a statement for admins, on a connection of its own. */
export async function run(url: string, statement: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client(url)
  // Or it would be thrown outside of every promise when Postgres dies.
  client.on('error', () => {})
  await client.connect()
  try {
    return (await client.query(statement)).rows
  } finally {
    await client.end()
  }
}
