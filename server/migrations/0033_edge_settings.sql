-- An app that was opened by one of its links is told of as link.app_open, not only counted.
alter table apps add column emit_open_on_resolve integer not null default 0;
-- A Play referrer without a token that can be claimed is tried by the network, within the same call.
alter table apps add column match_install_referrer integer not null default 0;
-- Who reports app events needs a key that may write.
alter table apps add column app_events_need_write integer not null default 0;
