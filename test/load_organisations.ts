import '../src/node_version.js'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

// Fills a server with what is true and odd: the organisations that have a prefix of MAC addresses from the IEEE, with
// names and addresses from all over the world. Then reads everything back and compares it. On an empty database:
//   node test/load_organisations.ts --count 1000 --url http://localhost:5000

/** An organisation as fields of a site, and its prefixes: 6, 7 or 9 hexadecimal digits. */
export type Organisation = { site: Fields; prefixes: string[] }

type Fields = Record<string, string | null>

type Request = (method: string, path: string, init?: RequestInit) => Promise<{ status: number; text: string }>

type Row = Record<string, unknown> & { id: number }

const requestsAtOnce = 16

/** All organisations of the package oui-data. Prefixes with the same record are of the same organisation. */
export function readOrganisations(): Organisation[] {
  const file = fileURLToPath(import.meta.resolve('oui-data'))
  const records = Object.entries(JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>)
  const countries = new Set(records.map(([, record]) => record.split('\n')[3]))
  return [...Map.groupBy(records, ([, record]) => record)].map(([record, entries]) => ({
    site: toSite(record, countries),
    prefixes: entries.map(([prefix]) => prefix),
  }))
}

/**
 * The name is the first line and the country the last. Most records have four: name, street, town, country. In shorter
 * ones any but the name may be missing, so there the last line is a country if a record of four lines has it as such.
 * Where the town of those ends in a number of 4 to 6 digits, that is the postcode.
 */
export function toSite(record: string, countries: Set<string | undefined>): Fields {
  const [name = '', ...lines] = record.split('\n')
  const country = countries.has(lines.at(-1)) ? lines.at(-1) : undefined
  const address = country ? lines.slice(0, -1) : lines
  const postcode = country && address.length === 2 ? /[^\d\s]\s+(\d{4,6})$/.exec(address[1] ?? '')?.[1] : undefined
  return {
    name,
    contact: null,
    address: address.join(', ') || null,
    state_or_region: null,
    country: country ?? null,
    postcode_or_zip: postcode ?? null,
  }
}

/** The first address with a prefix; its last digit tells the length, because 100648 and 1006480 are two prefixes. */
export function toMac(prefix: string): string {
  const length = { 6: '0', 7: '1', 9: '2' }[prefix.length]
  return `${prefix.padEnd(11, '0')}${length}`.toLowerCase().replace(/..(?!$)/g, '$&:')
}

/** So many of the items, evenly from the first to the last. */
export function spread<Item>(items: Item[], count: number): Item[] {
  const step = items.length / Math.min(count, items.length)
  return items.filter((_, i) => Math.floor(i / step) !== Math.floor((i - 1) / step))
}

/**
 * Stores each organisation as a site and each prefix as a computer there, and returns what is not read back as it was
 * sent. Throws when something can't be stored.
 */
export async function load(
  request: Request,
  organisations: Organisation[],
  onProgress: (what: string, done: number, of: number) => void = () => {},
): Promise<{ sites: number; computers: number; mismatches: string[] }> {
  const sites = await forEach('sites stored', organisations, ({ site }) => create(request, 'site', site))
  const ofSites = organisations.flatMap(({ prefixes }, i) => prefixes.map((prefix) => ({ prefix, site: sites[i] })))
  const computers = await forEach('computers stored', ofSites, ({ prefix, site }) =>
    create(request, 'computer', { name: prefix, mac: toMac(prefix), site_id: site?.id }),
  )
  const mismatches = [
    ...(await forEach('sites read', sites, (site) => compare(request, 'site', site))),
    ...(await forEach('computers read', computers, (computer) => compare(request, 'computer', computer))),
  ]
  return { sites: sites.length, computers: computers.length, mismatches: mismatches.flat() }

  async function forEach<Item, Result>(what: string, items: Item[], work: (item: Item) => Promise<Result>) {
    const results: Result[] = []
    let done = 0
    const rest = items.entries()
    async function worker() {
      for (const [i, item] of rest) {
        results[i] = await work(item)
        if (++done % 1000 === 0 || done === items.length) onProgress(what, done, items.length)
      }
    }
    await Promise.all(Array.from({ length: requestsAtOnce }, worker))
    return results
  }
}

async function create(request: Request, what: string, fields: object): Promise<Row> {
  const { status, text } = await request('POST', `/${what}`, {
    body: JSON.stringify(fields),
    headers: { 'Content-Type': 'application/json' },
  })
  if (status !== 201) throw new Error(`${JSON.stringify(fields)} was answered with ${status}: ${text}`)
  return { ...fields, id: JSON.parse(text).id }
}

async function compare(request: Request, what: string, sent: Row): Promise<string[]> {
  const path = `/${what}/${sent.id}`
  const { status, text } = await request('GET', path)
  if (status !== 200) return [`${path} was answered with ${status}: ${text}`]
  const read = JSON.parse(text)
  return [...new Set([...Object.keys(sent), ...Object.keys(read)])]
    .filter((field) => read[field] !== sent[field])
    .map((field) => `${path} ${field}: sent ${JSON.stringify(sent[field])}, read ${JSON.stringify(read[field])}`)
}

async function main() {
  const { values } = parseArgs({
    options: { count: { type: 'string' }, url: { type: 'string', default: 'http://localhost:5000' } },
  })
  const all = readOrganisations()
  const count = Number(values.count ?? all.length)
  if (!(count >= 1)) throw new Error('--count takes a number from 1 on')
  const organisations = spread(all, count)
  const start = performance.now()
  const { sites, computers, mismatches } = await load(
    async (method, path, init) => {
      const response = await fetch(new URL(path, values.url), { ...init, method })
      return { status: response.status, text: await response.text() }
    },
    organisations,
    (what, done, of) => console.info(`${done} of ${of} ${what}`),
  )
  const seconds = ((performance.now() - start) / 1000).toFixed(1)
  for (const mismatch of mismatches) console.error(mismatch)
  console.info(`${sites} sites, ${computers} computers, ${mismatches.length} mismatches, ${seconds} seconds`)
  process.exitCode = mismatches.length > 0 ? 1 : 0
}

if (import.meta.main) {
  await main().catch((error) => {
    console.error(error.cause ? `${error.message}: ${error.cause.message}` : error.message)
    process.exitCode = 1
  })
}
