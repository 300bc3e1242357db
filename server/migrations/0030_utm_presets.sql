-- Named sets of UTM values, which links refer to.
create table utm_presets (
  id text primary key,
  app_id text not null references apps (id) on delete cascade,
  name text not null,
  -- JSON text of an object.
  utm text not null,
  created_at bigint not null,
  updated_at bigint not null,
  unique (app_id, name)
);
create index utm_presets_app on utm_presets (app_id, created_at, id);

alter table links add column utm_preset_id text;
-- Which links use a preset, to be counted before it goes.
create index links_preset on links (utm_preset_id) where utm_preset_id is not null;
