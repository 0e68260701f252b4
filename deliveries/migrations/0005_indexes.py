"""Indexes of the big tables, built beside the traffic: in one transaction they would stop it for as long as they take."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

# As in 0002: a hash is looked up whole.
DROP_LIKE = """
DO $$
DECLARE extra text;
BEGIN
    FOR extra IN SELECT indexname FROM pg_indexes WHERE schemaname = current_schema() AND indexname LIKE '%\\_like'
        AND tablename = 'dead_tokens'
    LOOP
        EXECUTE format('DROP INDEX %I', extra);
    END LOOP;
END $$;
"""


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("deliveries", "0004_permissions")]

    operations = [
        AddIndexConcurrently(
            model_name="notification",
            index=models.Index(
                fields=["error_code", "-created_at"],
                name="notifications_troubled",
                condition=models.Q(("error_code", ""), _negated=True),
            ),
        ),
        AddIndexConcurrently(
            model_name="pushdelivery",
            index=models.Index(
                fields=["error_code", "-id"],
                name="deliveries_troubled",
                condition=models.Q(("error_code", ""), _negated=True),
            ),
        ),
        migrations.RunSQL(DROP_LIKE, migrations.RunSQL.noop),
    ]
