import { hostsOf } from './database/hosts.ts'

/**
 * What to say of a database URL with a password that everybody can read in this project; undefined if it has another. The one of
 * development is fine there, where its Postgres listens on loopback only.
 */
export function warnOfMockPassword(databaseUrl: string, environment: string | undefined): string | undefined {
  const known = environment === 'production' ? ['mock_prod_pass', 'mock_dev_pass'] : ['mock_prod_pass']
  const passwords = hostsOf(databaseUrl).map((url) => new URL(url).password)
  if (!passwords.some((password) => known.includes(password))) return undefined
  return 'the password in DATABASE_URL is the mock one, which everybody can read in the sources: change it, as .env.prod says'
}
