import { expect } from 'vitest'
import type { Sql } from '../src/database/connect.ts'

/** How Postgres carries out the one statement of a database function, as it is written there. */
export async function planOf(
  sql: Sql,
  statement: (sql: Sql) => Promise<unknown>,
  option = 'costs off',
): Promise<string> {
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

/** How Postgres carries out a statement that is put together when it is sent: it is sent, and then explained. */
export async function planOfBuilt(
  sql: Sql,
  run: (sql: Sql) => Promise<unknown>,
  option = 'costs off',
): Promise<string> {
  const queries: { statement?: { string: string }; parameters?: never[] }[] = []
  await run(
    new Proxy(sql, {
      apply(target, self, args) {
        const query = Reflect.apply(target, self, args)
        queries.push(query)
        return query
      },
    }),
  )
  const sent = queries.filter(({ statement }) => statement)
  expect(sent).toHaveLength(1)
  const plan = await sql.unsafe(`explain (${option}) ${sent[0]?.statement?.string}`, sent[0]?.parameters)
  return plan.map((row) => row['QUERY PLAN']).join('\n')
}
