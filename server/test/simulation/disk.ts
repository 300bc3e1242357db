// The database of a simulated world: real SQLite, in memory and in this thread, with the product's own schema and SQL.
// It outlives the processes of the world. Triggers note every change of a delivery, so that the ledger sees each commit.
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { DatabaseError, type Row } from "../../src/platform/database.ts";
import { readMigrations } from "../../src/platform/migrate.ts";
import { localise, type Statement } from "../../src/platform/sql.ts";
import { render } from "../../src/platform/sqlite.ts";

/** One committed change of a row of `deliveries`; `old` is null for an insert. */
export interface Change {
  destination_id: string;
  position: string;
  old: State | null;
  new: State;
}

export interface State {
  state: string;
  attempt: number;
  failures: number;
  leased: number;
  due_at: number | null;
  trigger: string;
  resume_state: string | null;
  order_key: string | null;
}

export interface Disk {
  /** All or nothing. @throws DatabaseError unmet, unique, bug */
  batch(statements: readonly Statement[]): Row[][];
  /** One statement inside a transaction that `begin` opened, or on its own. */
  step(statement: Statement): Row[];
  begin(): void;
  commit(): void;
  rollback(): void;
  /** For the ledger: what was committed since the last call. */
  takeChanges(): Change[];
  takeEvents(): {
    app_id: string;
    position: string;
    id: string;
    event: string;
    target_id: string | null;
    body: string;
  }[];
  /** For the ledger: any question. */
  ask<Result>(text: string, ...values: SQLInputValue[]): Result[];
  close(): void;
}

const COLUMNS = ["state", "attempt", "failures", "leased", "due_at", "trigger", "resume_state", "order_key"] as const;
const UNIQUE_CODES = [1555, 2067];

export function createDisk(): Disk {
  const database = new DatabaseSync(":memory:");
  database.exec("pragma foreign_keys = on; pragma temp_store = memory");
  for (const migration of readSchema()) database.exec(migration);
  database.exec(WATCH);
  const prepared = new Map<string, { statement: StatementSync; returns: boolean }>();

  function prepare(text: string) {
    let entry = prepared.get(text);
    if (entry === undefined) {
      const statement = database.prepare(text);
      entry = { statement, returns: statement.columns().length > 0 };
      prepared.set(text, entry);
    }
    return entry;
  }

  /** As the product's own database thread does it: the rows of a bulk statement run one by one. */
  function run(sent: Statement): Row[] {
    const { text, before, rows, after } = render(sent);
    const { statement, returns } = prepare(text);
    const result: Row[] = [];
    let count = 0;
    for (const row of rows ?? [undefined]) {
      const values = row === undefined ? before : [...before, ...row, ...after];
      if (returns) result.push(...(statement.all(...values) as Row[]));
      else count += Number(statement.run(...values).changes);
    }
    const got = returns ? result.length : count;
    if (sent.expect !== undefined && sent.expect !== got) throw new DatabaseError("unmet", `${got} rows`);
    return result;
  }

  function batch(statements: readonly Statement[]): Row[][] {
    database.exec("begin immediate");
    try {
      const rows = statements.map(run);
      database.exec("commit");
      return rows;
    } catch (error) {
      rollback();
      throw toDatabaseError(error);
    }
  }

  function step(statement: Statement): Row[] {
    try {
      return run(statement);
    } catch (error) {
      throw toDatabaseError(error);
    }
  }

  function rollback(): void {
    if (database.isTransaction) database.exec("rollback");
  }

  function ask<Result>(text: string, ...values: SQLInputValue[]): Result[] {
    return prepare(text).statement.all(...values) as Result[];
  }

  function takeChanges(): Change[] {
    const found = ask<Row>("select * from watched_changes order by rowid");
    if (found.length > 0) prepare("delete from watched_changes").statement.run();
    return found.map((row) => ({
      destination_id: String(row["destination_id"]),
      position: String(row["position"]),
      old: row["old_state"] === null ? null : stateOf(row, "old"),
      new: stateOf(row, "new"),
    }));
  }

  function takeEvents() {
    const found = ask<ReturnType<Disk["takeEvents"]>[number]>("select * from watched_events order by rowid");
    if (found.length > 0) prepare("delete from watched_events").statement.run();
    return found;
  }

  return {
    ...{ batch, step, rollback, takeChanges, takeEvents, ask },
    begin: () => database.exec("begin immediate"),
    commit: () => database.exec("commit"),
    close: () => database.close(),
  };
}

let schema: string[] | undefined;

function readSchema(): string[] {
  schema ??= readMigrations().map(({ text }) => localise(text, "sqlite"));
  return schema;
}

const WATCH = `
  create temp table watched_changes (destination_id, position,
    ${COLUMNS.flatMap((name) => [`old_${name}`, `new_${name}`]).join(", ")});
  create temp table watched_events (app_id, position, id, event, target_id, body);
  create temp trigger watch_update after update on main.deliveries begin
    insert into watched_changes values (new.destination_id, new.position,
      ${COLUMNS.flatMap((name) => [`old.${name}`, `new.${name}`]).join(", ")}); end;
  create temp trigger watch_insert after insert on main.deliveries begin
    insert into watched_changes values (new.destination_id, new.position,
      ${COLUMNS.flatMap((name) => ["null", `new.${name}`]).join(", ")}); end;
  create temp trigger watch_event after insert on main.events begin
    insert into watched_events values (new.app_id, new.position, new.id, new.event, new.target_id, new.body); end;
`;

function stateOf(row: Row, prefix: "old" | "new"): State {
  // The trigger writes exactly these columns.
  return Object.fromEntries(COLUMNS.map((name) => [name, row[`${prefix}_${name}`]])) as unknown as State;
}

function toDatabaseError(error: unknown): DatabaseError {
  if (error instanceof DatabaseError) return error;
  const code = error instanceof Error && "errcode" in error ? Number(error.errcode) : 0;
  const kind = UNIQUE_CODES.includes(code) ? "unique" : "bug";
  return new DatabaseError(kind, error instanceof Error ? error.message : String(error), { cause: error });
}
