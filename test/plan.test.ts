import { beforeAll, expect, test } from 'vitest'
import * as computer from '../src/database/computer.ts'
import type { Sql } from '../src/database/connect.ts'
import * as container from '../src/database/container.ts'
import * as freezer from '../src/database/freezer.ts'
import * as instrument from '../src/database/instrument.ts'
import * as site from '../src/database/site.ts'
import { testDatabase } from './database.ts'
import { planOf } from './explain.ts'
import { run } from './postgres.ts'

const { sql, url } = await testDatabase()

beforeAll(async () => {
  await sql`insert into site (name) select 'Site ' || id from generate_series(1, 2000) as id`
  // A third of everything is in one place, the rest is spread.
  await sql`
    insert into freezer (name, site_id)
    select 'Freezer ' || id, case when id % 3 = 0 then 7 else 1 + id % 2000 end
    from generate_series(1, 20000) as id`
  await sql`
    insert into computer (name, site_id)
    select 'Computer ' || id, case when id % 3 = 0 then 7 else 1 + id % 2000 end
    from generate_series(1, 20000) as id`
  await sql`
    insert into container (freezer_id)
    select case when id % 3 = 0 then 7 else 1 + id % 20000 end
    from generate_series(1, 60000) as id`
  for (const table of ['site', 'freezer', 'computer', 'container']) await run(url, `vacuum analyze ${table}`)
})

const page = { after: undefined, offset: 10, limit: 10 }
const someInstrument: instrument.InstrumentKey = [900, 1, 9000]

const statements: Record<string, (sql: Sql) => Promise<unknown>> = {
  readSites: (sql) => site.readSites(sql, [7, 8, 9]),
  readSiteOverview: (sql) => site.readSiteOverview(sql, 7),
  listSites: (sql) => site.listSites(sql, [page]),
  createSite: (sql) => site.createSite(sql, { name: 'x' }),
  upsertSite: (sql) => site.upsertSite(sql, 7, { contact: 'x' }),
  deleteSite: (sql) => site.deleteSite(sql, 7),
  readFreezers: (sql) => freezer.readFreezers(sql, [7, 8, 9]),
  listFreezers: (sql) => freezer.listFreezers(sql, [page]),
  listFreezersOfSite: (sql) => freezer.listFreezersOfSite(sql, [{ ...page, of: 7 }]),
  createFreezer: (sql) => freezer.createFreezer(sql, { name: 'x', site_id: 7 }),
  upsertFreezer: (sql) => freezer.upsertFreezer(sql, 7, {}),
  deleteFreezer: (sql) => freezer.deleteFreezer(sql, 7),
  readComputers: (sql) => computer.readComputers(sql, [7, 8, 9]),
  listComputers: (sql) => computer.listComputers(sql, [page]),
  listComputersOfSite: (sql) => computer.listComputersOfSite(sql, [{ ...page, of: 7 }]),
  createComputer: (sql) => computer.createComputer(sql, { name: 'x', site_id: 7 }),
  upsertComputer: (sql) => computer.upsertComputer(sql, 7, {}),
  deleteComputer: (sql) => computer.deleteComputer(sql, 7),
  readContainers: (sql) => container.readContainers(sql, [7, 8, 9]),
  readLocations: (sql) => container.readLocations(sql, [7, 8, 9]),
  listContainers: (sql) => container.listContainers(sql, [page]),
  listContainersOfFreezer: (sql) => container.listContainersOfFreezer(sql, [{ ...page, of: 7 }]),
  createContainer: (sql) => container.createContainer(sql, { freezer_id: 7 }),
  upsertContainer: (sql) => container.upsertContainer(sql, 7, {}),
  deleteContainer: (sql) => container.deleteContainer(sql, 7),
  listInstruments: (sql) => instrument.listInstruments(sql, [page]),
  'listInstruments, further on': (sql) => instrument.listInstruments(sql, [{ ...page, after: someInstrument }]),
  listInstrumentsOfSite: (sql) => instrument.listInstrumentsOfSite(sql, [{ ...page, of: 7 }]),
}

test.each(Object.entries(statements))('%s finds its rows by index', async (_name, statement) => {
  const plan = await planOf(sql, statement)
  expect(plan).not.toMatch(/Seq Scan/)
})

test.each(Object.entries(statements).filter(([name]) => /list(?!Instruments)/.test(name)))(
  '%s has an index in its order, so that nothing is sorted',
  async (_name, statement) => {
    expect(await planOf(sql, statement)).not.toMatch(/Sort/)
  },
)

test.each(Object.entries(statements).filter(([name]) => /list/.test(name)))(
  '%s skips rows in the index, without fetching them',
  async (_name, statement) => {
    expect(await planOf(sql, statement)).toMatch(/Index Only Scan/)
  },
)

test('a page of instruments reads from each index no more than the page can need', async () => {
  const plan = await planOf(
    sql,
    (sql) => instrument.listInstruments(sql, [{ ...page, after: someInstrument }]),
    'analyze',
  )
  const read = [...plan.matchAll(/Index Only Scan using (\w+_site_id_id_idx).*rows=(\d+)/g)]
  expect(read.map(([, index]) => index)).toEqual(['computer_site_id_id_idx', 'freezer_site_id_id_idx'])
  for (const [, , rows] of read) expect(Number(rows)).toBeLessThanOrEqual(20)
})

test('a page of instruments deep in the list merges the two indexes, and never sorts more than a site at a time', async () => {
  const plan = await planOf(sql, (sql) => instrument.listInstruments(sql, [{ ...page, offset: 30_000 }]))
  expect(plan).toMatch(/Merge Append/)
  expect(plan.match(/Sort\b(?! Key)/g)).toEqual(['Sort'])
  expect(plan).toMatch(/Incremental Sort\n.*\n *Presorted Key: computer.site_id\n/)
})
