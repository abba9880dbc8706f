import { createHash } from 'node:crypto'
import { type Context, Hono } from 'hono'
import { Problem } from '../errors.ts'
import { setHeader } from './answer.ts'
import { page, policy, readDocsFile, types } from './docs.ts'
import type { Env } from './env.ts'

type File = { content: string | Uint8Array<ArrayBuffer>; type: string; etag: string }

/** The description of the API, and a page that shows it. Each is made when it is first asked for, and kept. */
export const openapiRoutes = () => {
  const files = new Map<string, File>()

  async function kept(path: string, type: string, make: () => File['content'] | Promise<File['content']>) {
    const known = files.get(path)
    if (known) return known
    const content = await make()
    const etag = `"${createHash('sha256').update(content).digest('base64url')}"`
    const file = { content, type, etag }
    files.set(path, file)
    return file
  }

  return new Hono<Env>()
    .get('/openapi.json', async (c) => send(c, await kept('/openapi.json', 'application/json', describe)))
    .get('/docs', async (c) => {
      setHeader(c, 'Content-Security-Policy', policy)
      return send(c, await kept('/docs', 'text/html; charset=utf-8', () => page))
    })
    .get('/docs/:file', async (c) => {
      const name = c.req.param('file') as keyof typeof types
      if (!Object.hasOwn(types, name))
        throw new Problem('missing', `There is no file ${name} here. The page is at /docs.`)
      return send(c, await kept(`/docs/${name}`, types[name], () => readDocsFile(name)))
    })
}

// Loaded when it is needed, so that a start doesn't wait for what few ask for.
async function describe(): Promise<string> {
  const description = await import('./description.ts')
  return JSON.stringify(description.describe())
}

/** Answers with the file, unless the client has it. It asks each time, so that a new version is seen at once; any cache may keep it. */
function send(c: Context, { content, type, etag }: File) {
  setHeader(c, 'ETag', etag)
  setHeader(c, 'Cache-Control', 'no-cache')
  const has =
    c.req
      .header('If-None-Match')
      ?.split(',')
      .map((tag) => tag.trim().replace(/^W\//, '')) ?? []
  if (has.includes(etag) || has.includes('*')) return c.body(null, 304)
  return c.body(content, 200, { 'Content-Type': type })
}
