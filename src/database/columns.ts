// What lists are made of. A column that is added to a resource is added here by one line, and with it to filters, sorting,
// field masks and CSV.

/** How Postgres writes a value, and with that which values and operators a filter may have. */
export type ColumnType = 'int' | 'text' | 'uuid' | 'macaddr'

/**
 * `trigrams`: there is an index on search_text() of it (0002_search.sql), which serves `contains` and `startswith`
 * of three letters or digits in a row; `sorted`: there
 * is one on its beginning (0003_list_indexes.sql), which serves equality.
 */
export type Column = { type: ColumnType; nullable?: true; trigrams?: true; sorted?: true }

export type List = {
  name: 'site' | 'freezer' | 'computer' | 'container' | 'instrument'
  columns: Record<string, Column>
  /** The order of the list where no other is asked for; it ends every other one, so that no two rows are equal in it. */
  order: string[]
}

const id: Column = { type: 'int' }
const text: Column = { type: 'text', nullable: true }
const name: Column = { type: 'text', trigrams: true, sorted: true }

export const sites: List = {
  name: 'site',
  columns: {
    id,
    name,
    contact: text,
    address: text,
    state_or_region: text,
    country: { ...text, sorted: true },
    postcode_or_zip: text,
  },
  order: ['id'],
}

export const freezers: List = { name: 'freezer', columns: { id, name, site_id: id }, order: ['id'] }

export const computers: List = {
  name: 'computer',
  columns: { id, name, mac: { type: 'macaddr', nullable: true }, site_id: id },
  order: ['id'],
}

export const containers: List = {
  name: 'container',
  columns: { id, uuid: { type: 'uuid' }, description: { ...text, trigrams: true }, freezer_id: id },
  order: ['id'],
}

export const instruments: List = {
  name: 'instrument',
  columns: {
    site_id: id,
    site_name: { type: 'text' },
    computer_id: { ...id, nullable: true },
    freezer_id: { ...id, nullable: true },
    name: { type: 'text' },
  },
  order: ['site_id', 'computer_id', 'freezer_id'],
}

/** Whether an index has the rows in this order, or in groups by its first column. */
export function isIndexed(
  { name, columns, order: own }: List,
  order: { column: string; descending: boolean }[],
): boolean {
  const [first] = order
  const column = columns[first?.column ?? '']
  if (name === 'instrument') return order.every((each, i) => each.column === own[i] && !each.descending)
  return column !== undefined && (column.type !== 'text' || column.sorted === true)
}
