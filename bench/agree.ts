import { isDeepStrictEqual } from 'node:util'
import type { Scale } from './data.ts'
import type { Server } from './servers.ts'
import type { Workload } from './workloads.ts'

/** What keeps a server's figures out of the table: `missing`, it has no such route; `differs`, it answers something else. */
export type Verdict = { server: Server; missing?: string; differs?: string }

/** Asks all servers the same three things, and compares their answers with those of the first. */
export async function compare(servers: Server[], workload: Workload, scale: Scale): Promise<Verdict[]> {
  // Both ends of what may be asked for, and something between; the serials are those of no measurement.
  const requests = [0, 0.4, 0.999].map((share, index) =>
    workload.request(scale, (limit) => Math.floor(share * limit), 900_000 + index),
  )
  // One after the other: they write the same rows.
  const answers: Awaited<ReturnType<typeof askAll>>[] = []
  for (const server of servers) answers.push(await askAll(server, requests))
  return servers.map((server, index) => {
    const answer = answers[index] ?? []
    const failed = answer.find(({ status }) => status !== 200)
    if (failed && workload.mayBeMissing && [400, 404].includes(failed.status)) {
      return { server, missing: `no such route (${failed.status})` }
    }
    if (failed) return { server, differs: `status ${failed.status} to ${failed.path}` }
    const different = answer.find(({ body }, each) => !isDeepStrictEqual(body, answers[0]?.[each]?.body))
    if (different) return { server, differs: `another answer to ${different.path}: ${JSON.stringify(different.body)}` }
    return { server }
  })
}

async function askAll({ url }: Server, requests: ReturnType<Workload['request']>[]) {
  const answers: { path: string; status: number; body: unknown }[] = []
  for (const { method, path, body } of requests) {
    const response = await fetch(url + path, {
      method,
      ...(body && { body, headers: { 'content-type': 'application/json' } }),
    })
    answers.push({ path, status: response.status, body: await response.json() })
  }
  return answers
}
