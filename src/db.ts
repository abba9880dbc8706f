import './node_version.js'
import { readConfig } from './config.ts'
import { migrate, rollBack, waitForDatabase } from './migrate.ts'
import { runScript } from './scripts.ts'

const [, , command] = process.argv
if (command !== 'migrate' && command !== 'rollback' && command !== 'reset') {
  fail(
    'Usage: npm run db:migrate, db:rollback or db:reset. DATABASE_URL says where; without it, the database of npm run dev.',
  )
}

const { url, stop } = await database().catch((error) => fail(error.message))
const result = readConfig({ DATABASE_URL: url })
if ('errors' in result) fail(result.errors.join('\n'))
const primary = await waitForDatabase(url, (reason) => console.error(`Waiting for the database: ${reason}`))
const place = new URL(primary)
const name = `${place.pathname.slice(1)} on ${place.host}`
if (command === 'reset') {
  await runScript(primary, 'create_tables').catch(async (error) => {
    await stop()
    fail(error.message)
  })
  await runScript(primary, 'mock_data')
  console.info(`Dropped and created all tables of ${name}, and loaded the mock data.`)
} else if (command === 'rollback') {
  const undone = await rollBack(primary).catch(async (error) => {
    await stop()
    fail(error.message)
  })
  console.info(`Rolled back in ${name}: ${undone}.`)
} else {
  const applied = await migrate(primary).catch(async (error) => {
    await stop()
    fail(error.message)
  })
  console.info(applied.length > 0 ? `Applied to ${name}: ${applied.join(', ')}.` : `${name} has all migrations.`)
}
await stop()
process.exit()

/** The one that DATABASE_URL names, or that of `npm run dev`, started for the while if it is not running. */
async function database(): Promise<{ url: string; stop: () => Promise<void> }> {
  const none = async () => {}
  if (process.env.DATABASE_URL) return { url: process.env.DATABASE_URL, stop: none }
  const { devData, devDatabase, findEmbedded, startEmbedded } = await import('./embedded.ts')
  const running = await findEmbedded(devData, devDatabase)
  return running ? { url: running, stop: none } : await startEmbedded(devData, { port: 5433, database: devDatabase })
}

function fail(message: string): never {
  console.error(message)
  process.exit(1)
}
