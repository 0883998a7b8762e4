from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('album', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='DigestRun',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(auto_now_add=True)),
                ('host', models.CharField(max_length=255)),
                ('pid', models.PositiveIntegerField()),
            ],
            options={
                'ordering': ['-pk'],
            },
        ),
    ]
