-- Of a key that was made with another key: the one that the operator had made, from which it comes over however many. Its calls
-- count as that one's, which may be gone. Null: the operator has made it.
alter table api_keys add column origin_id text;
