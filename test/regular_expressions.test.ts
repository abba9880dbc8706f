import { readdirSync, readFileSync } from 'node:fs'
import { check } from '@makenowjust-labo/recheck'
import { expect, test } from 'vitest'
import { parseAst } from 'vitest/node'

// A regular expression can take time that grows with the square of a text, or worse: one request then keeps all others waiting.

/** For one expression; most take some milliseconds, the longest a second or two where nothing else runs. */
const patienceMs = 60_000

type Node = { type: string } & Record<string, unknown>
type Expression = { pattern: string; flags: string }

function nodesOf(value: unknown): Node[] {
  if (typeof value !== 'object' || value === null) return []
  const within = Object.values(value).flatMap(nodesOf)
  return 'type' in value ? [value as Node, ...within] : within
}

/** All of a file: literals, and those that are put together from constants of that file. */
function expressionsOf(source: string): Expression[] {
  const nodes = nodesOf(parseAst(source, { lang: 'ts' }))
  const literals = nodes.flatMap(({ regex }) => (regex ? [regex as Expression] : []))
  const calls = nodes.filter(
    ({ type, callee }) => /^(New|Call)Expression$/.test(type) && (callee as Node).name === 'RegExp',
  )
  const made = calls.map((call) => {
    const [pattern, flags] = call.arguments as Node[]
    return { pattern: textOf(pattern, nodes), flags: flags ? textOf(flags, nodes) : '' }
  })
  return [...literals, ...made]
}

function textOf(node: Node | undefined, nodes: Node[]): string {
  if (node?.type === 'Literal') return String(node.value)
  if (node?.type === 'Identifier') {
    const found = nodes.find(({ type, id }) => type === 'VariableDeclarator' && (id as Node).name === node.name)
    return textOf(found?.init as Node | undefined, nodes)
  }
  if (node?.type === 'TemplateLiteral') {
    const values = (node.expressions as Node[]).map((part) => textOf(part, nodes))
    const texts = (node.quasis as { value: { cooked: string } }[]).map(({ value }) => value.cooked)
    return texts.map((text, i) => text + (values[i] ?? '')).join('')
  }
  throw new Error(`What a regular expression made of a ${node?.type} will be can't be known here.`)
}

function verdict({ pattern, flags }: Expression): string {
  const found = check(pattern, flags, { checker: 'hybrid', timeout: patienceMs })
  const { status, complexity } = found as { status: string; complexity?: { summary: string } }
  return `/${pattern}/${flags} is ${status}${status === 'vulnerable' ? `: ${complexity?.summary}` : ''}`
}

const checked = readdirSync('src', { recursive: true, encoding: 'utf8' })
  // The last two read what pg_dump and pg_restore print, never a request.
  .filter((file) => /\.(ts|js)$/.test(file) && file !== 'backup.ts' && file !== 'restore.ts')
  .map((file): { file: string; expressions: Expression[] } => ({
    file,
    expressions: expressionsOf(readFileSync(`src/${file}`, 'utf8')),
  }))
  .filter(({ expressions }) => expressions.length > 0)

test.for(checked)(
  'no regular expression of $file takes longer than in proportion to the text',
  { timeout: patienceMs },
  ({ expressions }) => {
    for (const expression of expressions) expect(verdict(expression)).toMatch(/ is safe$/)
  },
)

test('those that are put together are found, and a bad one is told', () => {
  const source = `const word = '(a|a)+'; const all = new RegExp(\`^\${word}$\`, 'g'); const other = /a*a*$/`
  expect(expressionsOf(source).map(verdict)).toEqual([
    '/a*a*$/ is vulnerable: 3rd degree polynomial',
    '/^(a|a)+$/g is vulnerable: exponential',
  ])
  expect(() => expressionsOf('new RegExp(readLine())')).toThrow("can't be known")
})
