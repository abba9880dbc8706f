import { expect } from 'vitest'
import { type Sql, unprepared } from '../src/database/connect.ts'
import { Statement } from '../src/database/statement.ts'

/** How Postgres carries out the one statement of a database function, as it is written there. */
export async function planOf(
  sql: Sql,
  statement: (sql: Sql) => Promise<unknown>,
  option = 'costs off',
): Promise<string> {
  const plans: PromiseLike<Record<string, string>[]>[] = []
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
  const built: Statement[] = []
  await run(
    new Proxy(sql, {
      apply(target, self, args) {
        const made = Reflect.apply(target, self, args)
        if (made instanceof Statement) built.push(made)
        return made
      },
    }),
  )
  // What it is made of comes before the whole.
  const whole = built.at(-1)
  const raw = [`explain (${option}) `, '']
  const plan = await unprepared(sql<{ 'QUERY PLAN': string }[]>(Object.assign(raw, { raw }), whole))
  return plan.map((row) => row['QUERY PLAN']).join('\n')
}
