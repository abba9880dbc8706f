/**
 * By how much these samples rise from the first to the last, along a straight line: the median slope of all pairs of them (Theil and
 * Sen), which one sample taken at a bad moment does not change.
 */
export function rise(samples: { atMs: number; value: number }[]): number {
  const slopes = samples.flatMap((a, i) => samples.slice(i + 1).map((b) => (b.value - a.value) / (b.atMs - a.atMs)))
  slopes.sort((a, b) => a - b)
  const middle = slopes.length / 2
  const median = ((slopes[Math.ceil(middle) - 1] ?? 0) + (slopes[Math.floor(middle)] ?? 0)) / 2
  return median * ((samples.at(-1)?.atMs ?? 0) - (samples[0]?.atMs ?? 0))
}
