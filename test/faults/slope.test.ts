import { expect, test } from 'vitest'
import { rise } from './slope.ts'

const samples = (...values: number[]) => values.map((value, i) => ({ atMs: 1_000 + i * 10, value }))

test('a line that rises is told from one that goes up and down', () => {
  expect(rise(samples(5, 5, 5, 5))).toBe(0)
  expect(rise(samples(1, 2, 3, 4))).toBeCloseTo(3)
  expect(rise(samples(4, 3, 2, 1))).toBeCloseTo(-3)
  expect(Math.abs(rise(samples(5, 9, 5, 9, 5, 9, 5)))).toBeLessThan(1)
})

test('a line that rises is seen through one bad sample, and one bad sample alone makes no line rise', () => {
  expect(rise(samples(5, 5, 5, 5, 5, 5, 105))).toBe(0)
  expect(rise(samples(1, 2, 3, 0, 5, 6, 7))).toBeCloseTo(6)
})
