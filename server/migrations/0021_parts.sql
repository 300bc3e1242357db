-- The parts of its range that a replay looks at, as JSON text of pairs of positions; null: all of it.
alter table replays add column parts text;
