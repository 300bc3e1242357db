-- The public keys of a destination that signs with Ed25519, as JSON text, kept in step with its secrets, so that the document
-- of keys is read without unsealing anything. Null for all others.
alter table destinations add column public_keys text;
create index destinations_public_keys on destinations (id) where public_keys is not null;

-- Where a replay sends: the webhook that it was asked for, or another one of the app. While it is open it has one of a few
-- places there, which no other replay can have.
alter table replays add column target_id text;
alter table replays add column slot integer;
update replays set target_id = destination_id;
create index replays_target on replays (target_id, id);
create unique index replays_open on replays (target_id, slot) where slot is not null;
