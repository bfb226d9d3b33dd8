import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("searchjobs", "0003_audit_names"),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="job",
            name="job_queue_order",
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                fields=[
                    "queue",
                    "team",
                    "author",
                    "devices",
                    "-priority",
                    "position",
                    "id",
                ],
                name="job_heads",
                condition=models.Q(("held", False), ("state", "queued")),
            ),
        ),
        migrations.AddField(
            model_name="attempt",
            name="team",
            field=models.ForeignKey(
                db_index=False,
                help_text="Of the job; here too, because each claim sums what teams used.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="searchjobs.team",
            ),
        ),
        migrations.RunSQL(
            "UPDATE searchjobs_attempt attempt SET team_id = job.team_id "
            "FROM searchjobs_job job WHERE job.id = attempt.job_id; "
            # The checks of the foreign keys are due now: no ALTER TABLE waits for them.
            "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED;",
            migrations.RunSQL.noop,
        ),
        migrations.AlterField(
            model_name="attempt",
            name="team",
            field=models.ForeignKey(
                db_index=False,
                help_text="Of the job; here too, because each claim sums what teams used.",
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="searchjobs.team",
            ),
        ),
        migrations.RemoveIndex(
            model_name="attempt",
            name="attempt_usage",
        ),
        migrations.AddIndex(
            model_name="attempt",
            index=models.Index(
                fields=["device", "ended"],
                include=["team", "devices", "started"],
                name="attempt_use",
            ),
        ),
        migrations.AlterField(
            model_name="queue",
            name="max_running",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="Slots that its jobs hold at a time; empty: any.",
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="queue",
            name="max_running_team",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="Its jobs of one team at a time; empty: any.",
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="queue",
            name="max_running_user",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="Its jobs of one user at a time; empty: any.",
                null=True,
            ),
        ),
    ]
