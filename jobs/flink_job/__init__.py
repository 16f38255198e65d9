"""The cluster runtime: the stages of `operators` as a PyFlink job, exactly-once from Kafka to Kafka.

    events --batcher--> stamp --> ids --> scatter --> observe --> judge --> act --> records
                          ^ `---- events --->^ `---- events -------->^
                        config                           ^
                                    lists ---------------+
                                    labels --> desk -----'

Each file is one step of that line, or what the steps share.
"""
