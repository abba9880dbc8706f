// Figures for Prometheus. Counting is for each request, so it is an array that is found by the route and added to; whatever else
// there is to do, in prom-client too, waits until somebody asks for the figures.
import type { Usage } from './database/guard.ts'

/** What a process knows at one moment: a metric each, as prom-client has it, so that it can be sent, added up and written. */
export type Report = Metric[]

type Metric = {
  name: string
  help: string
  type: 'counter' | 'gauge' | 'histogram' | 'summary'
  /** What the figures of several workers are together. */
  aggregator: 'sum' | 'max' | 'min' | 'average' | 'first' | 'omit'
  values: { labels: Record<string, string | number>; value: number; metricName?: string }[]
}

export type Metrics = {
  /** Counts an answer. `route` is the pattern: there is no end to paths, and there has to be one to what is counted. */
  countAnswer: (method: string, route: string, status: number, durationMs: number) => void
  countSlowStatement: (name: string) => void
  watchPool: (name: string, usage: () => Usage) => void
  watchCircuit: (isOpen: () => boolean) => void
  report: () => Promise<Report>
}

const boundsMs = [1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000]

type Series = { method: string; status: number; buckets: number[]; sumMs: number; count: number }

/** The figures of this process. */
export function createMetrics(): Metrics {
  const routes = new Map<string, Series[]>()
  const slow = new Map<string, number>()
  const pools: [string, () => Usage][] = []
  let isOpen = () => false

  function seriesOf(route: string, method: string, status: number): Series {
    const known = routes.get(route)
    const found = known?.find((series) => series.status === status && series.method === method)
    if (found) return found
    const series = { method, status, buckets: new Array(boundsMs.length).fill(0), sumMs: 0, count: 0 }
    if (known) known.push(series)
    else routes.set(route, [series])
    return series
  }

  function countAnswer(method: string, route: string, status: number, durationMs: number) {
    const series = seriesOf(route, methods.has(method) ? method : 'other', status)
    series.count++
    series.sumMs += durationMs
    const bucket = boundsMs.findIndex((bound) => durationMs <= bound)
    if (bucket >= 0) (series.buckets[bucket] as number)++
  }

  function requests(): Report {
    const all = [...routes].flatMap(([route, each]) =>
      each.map((series) => ({ ...series, labels: { method: series.method, route, status: series.status } })),
    )
    const histogram = 'http_request_duration_seconds'
    return [
      counter(
        'http_requests_total',
        'Requests that were answered.',
        all.map(({ labels, count }) => ({ labels, value: count })),
      ),
      {
        name: histogram,
        help: 'Time until the answer was there, or began, in seconds.',
        type: 'histogram',
        aggregator: 'sum',
        values: all.flatMap(({ labels, buckets, sumMs, count }) => {
          let sum = 0
          return [
            ...buckets.map((value, i) => {
              sum += value
              const le = (boundsMs[i] as number) / 1_000
              return { labels: { le, ...labels }, value: sum, metricName: `${histogram}_bucket` }
            }),
            { labels: { le: '+Inf', ...labels }, value: count, metricName: `${histogram}_bucket` },
            { labels, value: sumMs / 1_000, metricName: `${histogram}_sum` },
            { labels, value: count, metricName: `${histogram}_count` },
          ]
        }),
      },
    ]
  }

  function database(): Report {
    const usages = pools.map(([pool, usage]) => ({ labels: { pool }, ...usage() }))
    const each = (key: keyof Usage) => usages.map(({ labels, [key]: value }) => ({ labels, value }))
    return [
      gauge('database_connections_max', 'Connections that the pool may open.', each('size')),
      gauge('database_connections_in_use', 'Connections that a query is using.', each('busy')),
      gauge('database_queries_waiting', 'Queries that wait for a connection.', each('waiting')),
      gauge('database_circuit_open', 'Workers that send no queries, because the database does not answer.', [
        { labels: {}, value: Number(isOpen()) },
      ]),
      counter(
        'database_slow_statements_total',
        'Statements that took longer than LOG_SLOW_MS.',
        [...slow].map(([statement, value]) => ({ labels: { statement }, value })),
      ),
    ]
  }

  return {
    countAnswer,
    countSlowStatement: (name) => void slow.set(name, (slow.get(name) ?? 0) + 1),
    watchPool: (name, usage) => void pools.push([name, usage]),
    watchCircuit: (is) => {
      isOpen = is
    },
    report: async () => [...requests(), ...database(), ...(await reportOfProcess())],
  }
}

// Those that the routes know; a client may make up others.
const methods = new Set(['GET', 'HEAD', 'POST', 'DELETE', 'OPTIONS', 'PUT', 'PATCH'])

/** The reports of several processes as one. */
export async function addUp(reports: Report[]): Promise<Report> {
  const { AggregatorRegistry } = await import('prom-client')
  const sum = AggregatorRegistry.aggregate(reports as never)
  return (await sum.getMetricsAsJSON()) as unknown as Report
}

/** A report in Prometheus' text format (https://prometheus.io/docs/instrumenting/exposition_formats/). */
export async function writeReport(report: Report): Promise<{ text: string; type: string }> {
  const { Registry } = await import('prom-client')
  const registry = new Registry()
  for (const metric of report) registry.registerMetric({ ...metric, get: () => metric } as never)
  return { text: await registry.metrics(), type: registry.contentType }
}

/** What only grows. The rest of a worker's figures is gone with it, but to its counts those of the others are added for good. */
export function countsOf(report: Report): Report {
  return report.filter(({ type }) => type === 'counter' || type === 'histogram')
}

export function gauge(name: string, help: string, values: Metric['values']): Metric {
  return { name, help, type: 'gauge', aggregator: 'sum', values }
}

export function counter(name: string, help: string, values: Metric['values']): Metric {
  return { name, help, type: 'counter', aggregator: 'sum', values }
}

let ofProcess: Promise<{ getMetricsAsJSON: () => Promise<unknown> }> | undefined

/** Begins to watch the process: its event loop, garbage collection and memory. Once for all that is in it. */
export function watchProcess() {
  ofProcess ??= import('prom-client').then(({ Registry, collectDefaultMetrics }) => {
    const register = new Registry()
    collectDefaultMetrics({ register })
    return register
  })
  return ofProcess
}

async function reportOfProcess(): Promise<Report> {
  const report = (await (await watchProcess()).getMetricsAsJSON()) as Report
  // What has not been measured yet is no number, and JSON has none for it.
  return report.map((metric) => ({ ...metric, values: metric.values.filter(({ value }) => Number.isFinite(value)) }))
}
