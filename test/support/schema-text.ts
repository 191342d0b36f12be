import type { DataSource } from 'typeorm';

/** Tables and their default partitions; those that the product makes by day are left out. */
const TABLES = `
  SELECT c.oid, c.relname AS name, c.relkind AS kind, c.reloptions AS options,
      pg_get_partkeydef(c.oid) AS partition_key, i.inhparent::regclass::text AS parent,
      pg_get_expr(c.relpartbound, c.oid) AS bound
    FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid AND c.relispartition
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
      AND c.relname <> 'migrations'
      AND (NOT c.relispartition OR pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT')
    ORDER BY c.relname COLLATE "C"`;

const COLUMNS = `
  SELECT format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod))
      || coalesce((SELECT format(' COLLATE %I', l.collname) FROM pg_collation l, pg_type t
           WHERE l.oid = a.attcollation AND t.oid = a.atttypid
             AND a.attcollation <> t.typcollation), '')
      || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
      || coalesce(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '') AS text
    FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum`;

const CONSTRAINTS = `
  SELECT format('CONSTRAINT %I %s', conname, pg_get_constraintdef(oid)) AS text
    FROM pg_constraint WHERE conrelid = $1 AND contype <> 'n' ORDER BY conname COLLATE "C"`;

const INDEXES = `
  SELECT pg_get_indexdef(x.indexrelid) AS text
    FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid
    WHERE x.indrelid = $1
      AND NOT EXISTS (SELECT FROM pg_constraint n WHERE n.conindid = x.indexrelid)
    ORDER BY c.relname COLLATE "C"`;

const TRIGGERS = `
  SELECT pg_get_triggerdef(oid) AS text FROM pg_trigger
    WHERE tgrelid = $1 AND NOT tgisinternal ORDER BY tgname COLLATE "C"`;

const SEQUENCES = `
  SELECT format('CREATE SEQUENCE %I;', relname) AS text FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'S'
      AND oid NOT IN (SELECT objid FROM pg_depend WHERE deptype IN ('a', 'i'))
    ORDER BY relname COLLATE "C"`;

const FUNCTIONS = `
  SELECT pg_get_functiondef(oid) || ';' AS text FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace ORDER BY proname COLLATE "C"`;

interface Table {
  oid: number;
  name: string;
  options: string[] | null;
  partition_key: string | null;
  parent: string | null;
  bound: string | null;
}

const HEADER =
  '-- The schema that the migrations make. Generated: `npm run schema` writes it, and\n' +
  '-- `npm run migration:check` compares.';

/** The schema as SQL, read from the catalogue: the same text for the same schema. */
export async function schemaText(dataSource: DataSource): Promise<string> {
  const read = async (query: string, values: unknown[] = []): Promise<string[]> =>
    (await dataSource.query<{ text: string }[]>(query, values)).map(({ text }) => text.trim());
  const parts = [HEADER, ...(await read(SEQUENCES)), ...(await read(FUNCTIONS))];
  for (const table of await dataSource.query<Table[]>(TABLES)) {
    const settings = table.options ? ` WITH (${table.options.join(', ')})` : '';
    if (table.parent !== null) {
      parts.push(
        `CREATE TABLE ${table.name} PARTITION OF ${table.parent} ${table.bound}${settings};`,
      );
      continue;
    }
    const members = [
      ...(await read(COLUMNS, [table.oid])),
      ...(await read(CONSTRAINTS, [table.oid])),
    ];
    const partitioned = table.partition_key === null ? '' : ` PARTITION BY ${table.partition_key}`;
    const others = [...(await read(INDEXES, [table.oid])), ...(await read(TRIGGERS, [table.oid]))];
    parts.push(
      [
        `CREATE TABLE ${table.name} (\n  ${members.join(',\n  ')}\n)${partitioned}${settings};`,
        ...others.map((statement) => `${statement};`),
      ].join('\n'),
    );
  }
  return `${parts.join('\n\n')}\n`;
}
