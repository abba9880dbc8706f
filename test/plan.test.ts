import { beforeAll, expect, test } from 'vitest'
import * as computer from '../src/database/computer.ts'
import type { Sql } from '../src/database/connect.ts'
import * as container from '../src/database/container.ts'
import * as freezer from '../src/database/freezer.ts'
import * as instrument from '../src/database/instrument.ts'
import * as site from '../src/database/site.ts'
import { testDatabase } from './database.ts'

const { sql } = await testDatabase()

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
  for (const table of ['site', 'freezer', 'computer', 'container']) await sql.unsafe(`vacuum analyze ${table}`)
})

const page = { after: undefined, offset: 10, limit: 10 }
const someInstrument = { site_id: 900, site_name: '', computer_id: null, freezer_id: 9000, name: '' }

const statements: Record<string, (sql: Sql) => Promise<unknown>> = {
  readSites: (sql) => site.readSites(sql, [7, 8, 9]),
  readSiteOverview: (sql) => site.readSiteOverview(sql, 7),
  listSites: (sql) => site.listSites(sql, page),
  createSite: (sql) => site.createSite(sql, { name: 'x' }),
  upsertSite: (sql) => site.upsertSite(sql, 7, { contact: 'x' }),
  deleteSite: (sql) => site.deleteSite(sql, 7),
  readFreezers: (sql) => freezer.readFreezers(sql, [7, 8, 9]),
  listFreezers: (sql) => freezer.listFreezers(sql, page),
  listFreezersOfSite: (sql) => freezer.listFreezersOfSite(sql, 7, page),
  createFreezer: (sql) => freezer.createFreezer(sql, { name: 'x', site_id: 7 }),
  upsertFreezer: (sql) => freezer.upsertFreezer(sql, 7, {}),
  deleteFreezer: (sql) => freezer.deleteFreezer(sql, 7),
  readComputers: (sql) => computer.readComputers(sql, [7, 8, 9]),
  listComputers: (sql) => computer.listComputers(sql, page),
  listComputersOfSite: (sql) => computer.listComputersOfSite(sql, 7, page),
  createComputer: (sql) => computer.createComputer(sql, { name: 'x', site_id: 7 }),
  upsertComputer: (sql) => computer.upsertComputer(sql, 7, {}),
  deleteComputer: (sql) => computer.deleteComputer(sql, 7),
  readContainers: (sql) => container.readContainers(sql, [7, 8, 9]),
  readLocation: (sql) => container.readLocation(sql, 7),
  listContainers: (sql) => container.listContainers(sql, page),
  listContainersOfFreezer: (sql) => container.listContainersOfFreezer(sql, 7, page),
  createContainer: (sql) => container.createContainer(sql, { freezer_id: 7 }),
  upsertContainer: (sql) => container.upsertContainer(sql, 7, {}),
  deleteContainer: (sql) => container.deleteContainer(sql, 7),
  listInstruments: (sql) => instrument.listInstruments(sql, page),
  'listInstruments, further on': (sql) => instrument.listInstruments(sql, { ...page, after: someInstrument }),
  listInstrumentsOfSite: (sql) => instrument.listInstrumentsOfSite(sql, 7, page),
}

test.each(Object.entries(statements))('%s finds its rows by index', async (_name, statement) => {
  const plan = await planOf(statement)
  expect(plan).not.toMatch(/Seq Scan/)
})

test.each(Object.entries(statements).filter(([name]) => /list(?!Instruments)/.test(name)))(
  '%s has an index in its order, so that nothing is sorted',
  async (_name, statement) => {
    expect(await planOf(statement)).not.toMatch(/Sort/)
  },
)

test('a page of instruments reads from each index no more than the page can need', async () => {
  const plan = await planOf((sql) => instrument.listInstruments(sql, { ...page, after: someInstrument }), 'analyze')
  const read = [...plan.matchAll(/Index Scan using (\w+_site_id_id_idx).*rows=(\d+)/g)]
  expect(read.map(([, index]) => index)).toEqual(['computer_site_id_id_idx', 'freezer_site_id_id_idx'])
  for (const [, , rows] of read) expect(Number(rows)).toBeLessThanOrEqual(20)
})

test('a page of instruments deep in the list merges the two indexes, and never sorts more than a site at a time', async () => {
  const plan = await planOf((sql) => instrument.listInstruments(sql, { ...page, offset: 30_000 }))
  expect(plan).toMatch(/Merge Append/)
  expect(plan.match(/Sort\b(?! Key)/g)).toEqual(['Sort'])
  expect(plan).toMatch(/Incremental Sort\n.*\n *Presorted Key: computer.site_id\n/)
})

/** How Postgres carries out the one statement of a database function, as it is written there. */
async function planOf(statement: (sql: Sql) => Promise<unknown>, option = 'costs off'): Promise<string> {
  const plans: Promise<Record<string, string>[]>[] = []
  const explaining = new Proxy(sql, {
    apply(target, _self, [strings, ...values]: [TemplateStringsArray, ...never[]]) {
      const [first = '', ...rest] = strings
      const raw = [`explain (${option}) ${first}`, ...rest]
      const rows = Reflect.apply(target, undefined, [Object.assign(raw, { raw }), ...values])
      plans.push(rows)
      return rows
    },
  })
  await statement(explaining)
  expect(plans).toHaveLength(1)
  const [plan] = await Promise.all(plans)
  expect(plan?.length).toBeGreaterThan(0)
  return plan?.map((row) => row['QUERY PLAN']).join('\n') ?? ''
}
