-- Raised when a person changes what attempts depend on, or enables it: an attempt of an earlier era disables nothing.
alter table destinations add column era bigint not null default 0;
