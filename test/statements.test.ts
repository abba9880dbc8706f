import { readdir, readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'

const folder = 'src/database'

/** Each statement that is awaited, and the function that it is in. Parts of statements are not. */
async function statements(): Promise<{ place: string; name: string; first: string }[]> {
  const files = (await readdir(folder)).filter((file) => file.endsWith('.ts'))
  const found = files.map(async (file) => {
    const source = await readFile(`${folder}/${file}`, 'utf8')
    return [...source.matchAll(/await (?:unprepared\()?sql(?:<[^`]*>)?`([^\n]*)\n\s*([^\n]*)/g)].map((match) => {
      const [, rest, second = ''] = match
      const before = [...source.slice(0, match.index).matchAll(/^(?:export )?(?:async )?function (\w+)/gm)]
      return { place: `${folder}/${file}`, name: before.at(-1)?.[1] ?? '', first: rest || second }
    })
  })
  return (await Promise.all(found)).flat()
}

test('every statement begins with the name of its function, by which the log calls it', async () => {
  const all = await statements()
  expect(all.length).toBeGreaterThan(30)
  for (const { place, name, first } of all) {
    // The one by which a connection is tried is in no function of its own.
    if (place === 'src/database/connection.ts') expect(first).toMatch(/^-- \w+$/)
    else expect([place, first]).toEqual([place, `-- ${name}`])
  }
  const names = all.map(({ first }) => first)
  expect(names).toEqual([...new Set(names)])
})

test('no other statement is sent than those', async () => {
  for (const file of await readdir(folder)) {
    const source = await readFile(`${folder}/${file}`, 'utf8')
    const sent = [...source.matchAll(/\bawait\s+(?:unprepared\(\s*)?sql(?![.\w])/g)].length
    const named = (await statements()).filter(({ place }) => place === `${folder}/${file}`).length
    expect([file, sent]).toEqual([file, named])
  }
})
