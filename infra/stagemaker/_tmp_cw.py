from stagemaker.wire.api import Api
from stagemaker.wire.codec import JsonCodec
from stagemaker.wire.model import load_service_model
class CloudWatchService:
    def __init__(self, store, account): pass
    def put(self, namespace, data, *, region): pass
    def reset(self): pass
    def api(self):
        m = load_service_model("cloudwatch")
        return Api(m, [JsonCodec(m)], {}, prefix="cloudwatch")
