"""Datasets, and the tables each is made from. Written by `headwater contract generate`; do not edit."""

from typing import Any

DATASETS: dict[str, dict[str, Any]] = {
    "campaign_households": {
        "description": "Which household received which campaign.",
        "domain": "loyalty",
        "kind": "table",
        "inputs": ("bronze.campaign_households",),
        "restatable": False,
    },
    "campaigns": {
        "description": "Marketing campaigns that send coupons to households.",
        "domain": "loyalty",
        "kind": "table",
        "inputs": ("bronze.campaigns",),
        "restatable": False,
    },
    "coupon_redemptions": {
        "description": "A household redeems a coupon of a campaign at the till.",
        "domain": "loyalty",
        "kind": "stream",
        "inputs": (),
        "restatable": True,
    },
    "coupons": {
        "description": "Which coupon of which campaign is valid for which article.",
        "domain": "loyalty",
        "kind": "table",
        "inputs": ("bronze.coupons",),
        "restatable": False,
    },
    "dim_store": {
        "description": "The stores by which sales are grouped.",
        "domain": "loyalty",
        "kind": "model",
        "inputs": ("silver.stores",),
        "restatable": False,
    },
    "households": {
        "description": "The households of the loyalty programme, with what some of them told about themselves.",
        "domain": "loyalty",
        "kind": "table",
        "inputs": ("bronze.households",),
        "restatable": False,
    },
    "products": {
        "description": "The articles the chain sells.",
        "domain": "loyalty",
        "kind": "table",
        "inputs": ("bronze.products",),
        "restatable": False,
    },
    "promotions": {
        "description": "Where an article was displayed in a store or shown in the weekly mailer.",
        "domain": "loyalty",
        "kind": "files",
        "inputs": ("bronze.promotions",),
        "restatable": False,
    },
    "stores": {
        "description": "The stores of the chain.",
        "domain": "loyalty",
        "kind": "table",
        "inputs": ("bronze.stores",),
        "restatable": False,
    },
    "transactions": {
        "description": "One line of a shopping basket, as the point of sale reports it; the fact all "
        "revenue figures rest on.",
        "domain": "loyalty",
        "kind": "stream",
        "inputs": (),
        "restatable": True,
    },
}
