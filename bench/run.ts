import '../src/node_version.js'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { fill, scaleOf, smallScale } from './data.ts'
import { summarise } from './figures.ts'
import { startGenerator } from './generator.ts'
import { describeMachine, loadBefore, postgresSettings } from './machine.ts'
import type { Field, Sample } from './measure.ts'
import { readOptions } from './options.ts'
import { installPackages } from './packages.ts'
import { findProgram } from './pgbench.ts'
import { plan, type Step } from './plan.ts'
import { page, table, verdictTable } from './report.ts'
import { type Name, type Server, startServer } from './servers.ts'
import { judge } from './thresholds.ts'

const options = readOptions(process.argv.slice(2))
if (loadBefore > 0.5) tell(`Other programs are busy here (load ${loadBefore.toFixed(2)}): the figures will be rough.`)
installPackages()

const folder = fileURLToPath(new URL('../.data/bench', import.meta.url))
const data = `${folder}/postgres-18`
await mkdir(folder, { recursive: true })
const { startEmbedded } = await import('../src/embedded.ts')
const flags = Object.entries(postgresSettings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
const postgres = await startEmbedded(data, { flags })
const generator = startGenerator()
const servers: Server[] = []
let ending = false
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  // Those that came with the embedded Postgres would stop that first, and the servers complain.
  process.removeAllListeners(signal)
  process.once(signal, () => end(130))
}
await main().catch((error) => {
  if (ending) return
  console.error(error)
  process.exitCode = 1
})
if (!ending) await end()

async function end(code?: number) {
  ending = true
  generator.stop()
  await Promise.all(servers.map((server) => server.stop()))
  await postgres.stop()
  process.exit(code ?? process.exitCode ?? 0)
}

async function main() {
  const scale = scaleOf(options.containers)
  const field: Field = {
    generator,
    postgresPid: Number((await readFile(`${data}/postmaster.pid`, 'utf8')).split('\n')[0]),
    large: { url: await fill(postgres.url, scale, tell), scale },
    small: { url: await fill(postgres.url, smallScale, tell), scale: smallScale },
    pgbench: await findProgram('pgbench'),
    psql: await findProgram('psql'),
  }
  if (!field.pgbench) tell('pgbench is not installed (Debian: postgresql-contrib), so it is left out.')
  if (!field.psql) tell('psql is not installed (Debian: postgresql-client), so it is left out.')
  for (const name of ['ours', 'fastify', 'express', 'constant', 'unbatched', 'small'] satisfies Name[]) {
    servers.push(await startServer(name, name === 'small' ? field.small.url : field.large.url))
  }

  const { steps, absent, differing } = await plan(field, servers, options)
  for (const { workload, contestant, why } of [...absent, ...differing]) tell(`${workload}, ${contestant}: ${why}`)
  const samples = (await runAll(steps)).map((sample) => {
    const faults = differing
      .filter(({ workload, contestant }) => sample.workload === workload && sample.contestant === contestant)
      .map(({ why }) => why)
    return { ...sample, faults: [...sample.faults, ...faults] }
  })

  const figures = summarise(samples)
  const verdicts = judge(samples)
  const machine = await describeMachine(postgres.url)
  const tables = [table(figures, absent, options.workloads), verdictTable(verdicts)]
  await writeFile(`${folder}/results.md`, page(options, machine, tables))
  await writeFile(
    `${folder}/results.json`,
    `${JSON.stringify({ machine, options, figures, verdicts, absent, samples }, null, 2)}\n`,
  )
  console.info(tables[0])
  tell(`\n${tables[1]}\n\nWritten to .data/bench/results.md and results.json.`)
  const missed = verdicts.filter(({ met }) => met === false)
  if (options.check && missed.length > 0) {
    tell(`Not as it should be: ${missed.map(({ title }) => title).join('; ')}.`)
    process.exitCode = 1
  }
}

/** Warms up, then measures everything once in each round, beginning with another contestant each time. */
async function runAll(steps: Step[]): Promise<Sample[]> {
  const samples: Sample[] = []
  for (const [index, { workload, contestant, warmUp }] of steps.entries()) {
    if (warmUp) tell(`warming up ${index + 1}/${steps.length}: ${workload}, ${contestant}`)
    await warmUp?.()
  }
  const start = performance.now()
  const total = steps.length * options.rounds
  for (let round = 1; round <= options.rounds; round++) {
    for (const { workload, contestant, run } of turn(steps, round - 1)) {
      const passed = (performance.now() - start) / 1000
      const left =
        samples.length > 0 ? `, ${Math.ceil((passed / samples.length) * (total - samples.length))} s left` : ''
      const sample = await run(round).catch(
        (error) => ({ workload, contestant, round, faults: [String(error)] }) as Sample,
      )
      samples.push(sample)
      const figure = sample.perSecond ? `${Math.round(sample.perSecond)}/s` : `${Math.round(sample.p50Ms ?? 0)} ms`
      const faults = sample.faults.length > 0 ? ` INVALID: ${sample.faults.join('; ')}` : ''
      tell(
        `round ${round}/${options.rounds}, ${samples.length}/${total}: ${workload}, ${contestant}: ${figure}${faults}${left}`,
      )
    }
  }
  return samples
}

/** Each workload's contestants in turn, and in the next round beginning with the second. */
function turn(steps: Step[], by: number): Step[] {
  return [...Map.groupBy(steps, ({ workload }) => workload).values()].flatMap((contestants) => {
    const first = by % contestants.length
    return [...contestants.slice(first), ...contestants.slice(0, first)]
  })
}

function tell(text: string) {
  console.error(text)
}
