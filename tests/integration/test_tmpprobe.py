import asyncio,time
from common.bus.consumer import BatchConsumer
from tests.integration.broker import *
async def test_x(servers):
    async with channel(servers.amqp_url) as its:
        q = await work_queue(its)
        await put(its,q,b"bad")
        t0=time.time(); ts=[]
        async def p(batch):
            ts.append((round(time.time()-t0,3), batch[0].deliveries)); raise RuntimeError("x")
        async with running(BatchConsumer(servers.amqp_url,q,p).run()):
            await take(its,f"{q}.dead",1)
        print("TS",ts, time.time()-t0)
