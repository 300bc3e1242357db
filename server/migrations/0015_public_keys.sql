-- The public keys of a destination that signs with Ed25519, as JSON text, kept in step with its secrets, so that the document
-- of keys is read without unsealing anything. Null for all others.
alter table destinations add column public_keys text;
create index destinations_public_keys on destinations (id) where public_keys is not null;
