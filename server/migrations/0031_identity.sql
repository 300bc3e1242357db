-- Visitors and users have agreed to analytics: only then anything below is read and kept.
alter table apps add column analytics_consent integer not null default 0;

-- What Google Analytics had stored in the visitor's browser, as JSON text.
alter table clicks add column ga text;
