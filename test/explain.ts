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
