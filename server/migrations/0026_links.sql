-- JSON text of a list, in lower case; null when there are none.
alter table links add column tags text;
alter table links add column expires_at bigint;
alter table links add column click_limit bigint;
-- Where visitors are sent when the link has ended.
alter table links add column expired_url text;

-- How many links an app has, so that its limit is judged without counting them.
create table app_links (
  app_id text primary key references apps (id) on delete cascade,
  links bigint not null
);
insert into app_links (app_id, links) select app_id, count(*) from links group by app_id;
