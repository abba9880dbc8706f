import * as direct from '../../src/database/connection.ts'

export type * from '../../src/database/connection.ts'

const { TEST_DATABASE_URL = '', TEST_PGBOUNCER_URL = '' } = process.env

/** As that of src/database/connection.ts, but to the Postgres of the tests through PgBouncer, with DATABASE_PREPARE=off. */
export const openConnection: typeof direct.openConnection = (url, options) =>
  direct.openConnection(through(url), { ...options, prepare: false })

function through(url: string) {
  if (!URL.canParse(url)) return url
  const [changed, own] = [new URL(url), new URL(TEST_DATABASE_URL)]
  if (changed.port === own.port) changed.host = new URL(TEST_PGBOUNCER_URL).host
  return changed.href
}
