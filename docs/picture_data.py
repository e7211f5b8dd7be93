"""What the pictures of the admin show: a day of figures, and a night in which a shop's
supplier did not answer. Run by admin_pictures.py in the shell of the demo's site; prints the
id of the import, and of a schedule.
"""

import math
import random
from datetime import timedelta
from uuid import UUID

from django.utils import timezone
from shop import tasks

from cq.codec import Encoded
from cq.figures.adding import MOST_AT_ONCE, add
from cq.figures.counter import FAILED, RETRIED, Counter
from cq.figures.marks import mark
from cq.figures.steps import minute_of
from cq.ids import first_of
from cq.models import Depth, Task
from cq.tables.queries import depths
from cq_scheduler.models import RepeatingTask

NOW = timezone.now()
#: Runs a minute, seconds of waiting and of running, of a day like any other.
USUAL = {
    ("shop.tasks.import_part", "default"): (42, 0.4, 1.6),
    ("shop.tasks.summarize", "default"): (7, 0.2, 0.3),
    ("shop.tasks.publish", "mail"): (12, 1.5, 0.8),
}
#: Minutes back from now in which the supplier did not answer.
BROKEN = range(28)

dice = random.Random(42)
counter = Counter(lambda: None)
for back in range(175):
    minute = minute_of(NOW) - back
    wave = 1 + 0.3 * math.sin(back / 25)
    for (name, queue), (runs, waits, takes) in USUAL.items():
        key = ("default", minute, name, queue)
        broken = back in BROKEN and name.endswith("import_part")
        for _ in range(round(runs * wave * dice.uniform(0.8, 1.2))):
            if broken and dice.random() < 0.3:
                counter.ended(key, RETRIED if dice.random() < 0.6 else FAILED)
                continue
            slower = 3 if broken else 1
            counter.succeeded(
                key,
                dice.lognormvariate(math.log(waits * slower), 0.6),
                dice.lognormvariate(math.log(takes * slower), 0.5),
            )
rows = list(counter.take().items())
for first in range(0, len(rows), MOST_AT_ONCE):
    add("default", rows[first : first + MOST_AT_ONCE])
depths("default").bulk_create(
    [
        Depth(
            step=1,
            slot=minute_of(NOW) - back,
            queue=queue,
            waiting=round(share * wave * (9 if back in BROKEN else 1)),
            running=round(6 * wave),
            slots=8,
            age=4.0 * wave * (9 if back in BROKEN else 1),
        )
        for back in range(60)
        for wave in [1 + 0.3 * math.sin(back / 25) + dice.uniform(-0.1, 0.1)]
        for queue, share in (("", 150), ("default", 120), ("mail", 30))
    ],
    # The worker has looked in this minute.
    ignore_conflicts=True,
)
mark("v42", NOW - timedelta(minutes=31))

ERROR = "no answer from feed.supplier.example within 30 s"
failed = []
for number in range(14):
    moment = NOW - timedelta(minutes=1.7 * number, seconds=dice.randrange(60))
    task_id = UUID(int=first_of(moment).int + number)
    failed.append(
        Task(
            id=task_id,
            root_id=task_id,
            name="shop.tasks.import_part",
            args=Encoded(f"[{50 + number}]"),
            status="FAILURE",
            attempts=3,
            submitted=moment - timedelta(seconds=91),
            started=moment - timedelta(seconds=30),
            finished=moment,
            error=ERROR,
            exception="shop.errors.GatewayTimeout",
        )
    )
Task._base_manager.bulk_create(failed)
schedule = RepeatingTask.objects.create(
    name="shop.tasks.publish", args=[1], crontab="30 2 * * *", timezone="Europe/Paris"
)
# Enough to be waiting while the pictures are taken.
tasks.import_part.delay_many([(number,) for number in range(100, 3_000)])
root = Task._base_manager.filter(name="shop.tasks.import_catalogue").earliest("id")
print(root.pk, schedule.pk)
